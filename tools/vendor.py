"""Fetches the libraries of the Attention tab, unmodified, from the npm registry.

Run it with `make vendor`. It accepts an archive only if its hash is the one pinned here.
tests/tab/test_modules.py checks that the files in the repository match the pinned hashes.
"""

import hashlib
import io
import tarfile
import urllib.request
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "keras_attnviz" / "tb_plugin" / "static" / "vendor"
REGISTRY = "https://registry.npmjs.org"

# For each package: its version, the SHA-256 of its archive, and a dict from each file to take from
# the archive to its new name and SHA-256.
PACKAGES = {
    "uplot": (
        "1.6.32",
        "4b8a8191e425658e3ea8c8c1314b0fc679c861ee3a1af2b20c7b16ba50b5133d",
        {
            "dist/uPlot.esm.js": (
                "uPlot.esm.js",
                "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba",
            ),
            "dist/uPlot.min.css": (
                "uPlot.min.css",
                "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
            ),
            "LICENSE": (
                "uPlot.LICENSE",
                "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
            ),
        },
    ),
    "gifenc": (
        "1.0.3",
        "29470c10132cd66ecac3b4da025b57ab9ec35df6e40215947f22eb2f14a128d4",
        {
            "dist/gifenc.esm.js": (
                "gifenc.esm.js",
                "217761244379253ba5815510d3048a4fb1f4c4dbe9fb51a5cfbfe26f34eec093",
            ),
            "LICENSE.md": (
                "gifenc.LICENSE",
                "47bc590c39d8ccccfc544875a9faebf44bafa828ef20315b396b5d0629f0cfd6",
            ),
        },
    ),
}


def pinned():
    """Returns the SHA-256 of every file in static/vendor/, by the file's name."""
    return {name: digest for _, _, files in PACKAGES.values() for name, digest in files.values()}


def fetch():
    """Rewrites static/vendor/; raises ValueError if a hash differs from the pinned one."""
    FOLDER.mkdir(exist_ok=True)
    for package, (version, digest, files) in PACKAGES.items():
        address = f"{REGISTRY}/{package}/-/{package}-{version}.tgz"
        with urllib.request.urlopen(address, timeout=60) as answer:
            content = checked(answer.read(), digest, name=address)
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for path, (name, file_digest) in files.items():
                file = archive.extractfile(f"package/{path}").read()
                (FOLDER / name).write_bytes(checked(file, file_digest, name=path))


def checked(content, digest, *, name):
    """Returns the bytes `content` if their SHA-256 is `digest`, else raises ValueError."""
    received = hashlib.sha256(content).hexdigest()
    if received != digest:
        raise ValueError(f"{name} must have the SHA-256 {digest}. Received: {received}.")
    return content


if __name__ == "__main__":
    fetch()
