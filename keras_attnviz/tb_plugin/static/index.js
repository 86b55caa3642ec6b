// @ts-check
/** The Attention tab: TensorBoard calls `render` in a frame of its own. */

import { el } from "./lib/dom.js";
import { askEarly } from "./state/early.js";

export async function render() {
  const early = askEarly();
  const page = import("./app.js");
  document.title = "Attention";
  document.documentElement.lang = "en";
  const styles = el("link", {
    rel: "stylesheet",
    href: new URL("style.css", import.meta.url).href,
  });
  const styled = new Promise((resolve) => {
    styles.addEventListener("load", resolve);
    styles.addEventListener("error", resolve);
  });
  document.head.append(el("meta", { name: "viewport", content: "width=device-width" }), styles);
  const { App } = await page;
  const app = new App(early);
  await styled;
  app.mount(document.body);
  await app.load();
}
