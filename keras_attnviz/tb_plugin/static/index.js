// @ts-check
/** The Attention tab: TensorBoard calls `render` in a frame of its own. */

import { el } from "./lib/dom.js";
import { askEarly } from "./state/early.js";

/** Each is beside what it is for; where two are equally specific, the later one counts. */
const STYLES = [
  "style.css",
  "page/layout.css",
  "page/controls.css",
  "page/help.css",
  "page/messages.css",
  "page/probe_strip.css",
  "page/picture_pane.css",
  "page/color_bar.css",
  "heads/head_maps.css",
  "page/timeline.css",
  "charts/gate_distribution.css",
  "page/tip.css",
  "export/film_dialog.css",
];

export async function render() {
  const early = askEarly();
  const page = import("./app.js");
  document.title = "Attention";
  document.documentElement.lang = "en";
  document.head.append(el("meta", { name: "viewport", content: "width=device-width" }));
  const styled = Promise.all(STYLES.map(loadStyle));
  const { App } = await page;
  const app = new App(early);
  // Nothing is shown before all of it has its style.
  await styled;
  app.mount(document.body);
  await app.load();
}

/**
 * Loads a style sheet; returns a promise that it is there, or can't be had.
 *
 * @param {string} name
 */
function loadStyle(name) {
  const link = el("link", { rel: "stylesheet", href: new URL(name, import.meta.url).href });
  document.head.append(link);
  return new Promise((resolve) => {
    link.addEventListener("load", resolve);
    link.addEventListener("error", resolve);
  });
}
