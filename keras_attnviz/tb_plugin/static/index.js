/** The Attention tab: TensorBoard calls `render` in a frame of its own. */

import { App } from "./app.js";
import { el } from "./dom.js";

export async function render() {
  document.title = "Attention";
  document.documentElement.lang = "en";
  const styles = el("link", { rel: "stylesheet", href: new URL("style.css", import.meta.url).href });
  const styled = new Promise((resolve) => {
    styles.addEventListener("load", resolve);
    styles.addEventListener("error", resolve);
  });
  document.head.append(el("meta", { name: "viewport", content: "width=device-width" }), styles);
  const app = new App();
  const data = app.load();
  await styled;
  app.mount(document.body);
  await data;
}
