"""Names that an attacker, or a careless person, might give to probes, classes and layers."""

NAMES = (
    "<script>document.title='hit'</script>",
    "<img src=x onerror=\"document.title='hit'\">",
    "\"'`><svg onload=document.title='hit'>",
    "![a](http://192.0.2.1/seen.png) [b](javascript:hit) *c* `d`",
    "../../../../escaped",
    "/escaped/absolute",
    "C:\\escaped\\..\\x",
    "zero\x00byte",
    "two\nlines\r\nSet-Cookie: a=b",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe\N{LEFT-TO-RIGHT ISOLATE}",
    "\x1b[2J\x1b]0;title\x07 terminal",
    "CON",
    "NUL.txt",
    "n" * 5000,
    "no text \udce4",
    "__proto__",
    "constructor",
    "${document.title='hit'}{{1+1}}%s%n",
)
