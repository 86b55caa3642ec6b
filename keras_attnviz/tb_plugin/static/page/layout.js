// @ts-check
/** The page's frame: its sections, empty. */

import { el } from "../lib/dom.js";
import { KEYS } from "./keyboard.js";

const LINES = [
  "from keras_attnviz import AttentionRolloutCallback, ProbeSet",
  "",
  'probes = ProbeSet.from_directory("data/val", image_size=224)',
  'model.fit(..., callbacks=[AttentionRolloutCallback(probes, "logs")])',
];

/** @import { Need } from "./keyboard.js" */

/** @typedef {ReturnType<typeof layout>} Parts */

/** Returns the sections by name, and what is shown for some runs alone: `needing`. */
export function layout() {
  const choosers = el("div", { class: "choosers" });
  const savePicture = button("save-picture", "Save picture", "Save what is on screen as PNG");
  const saveFilm = button("save-film", "Save film", "Save the epochs as GIF or WebM");
  const copyLink = button("copy-link", "Copy link", "Copy an address that shows this view");
  const { help, needing } = keysHelp();
  const actions = el("div", { class: "page-actions" }, savePicture, saveFilm, copyLink, help);
  const problems = el("details", { class: "problems", id: "problems", hidden: true });
  const probes = el("section", { class: "probes", "aria-label": "Probes" });
  const looks = el("div", { class: "looks" });
  const asking = el("div", { class: "asking", id: "asking" });
  const viewHead = el("div", { class: "view-head" }, asking, looks);
  const panes = el("div", { class: "panes" });
  const gridHead = el("div", { class: "grid-head" });
  const grid = el("div", { class: "grid" });
  const legend = el("div", { class: "legend" });
  const view = el("div", { class: "view" });
  const side = el("section", { class: "side", "aria-label": "Layers and heads" });
  side.append(gridHead, grid, legend);
  view.append(el("section", { class: "main-view", "aria-label": "Pictures" }, panes), side);
  const timeline = el("section", { class: "timeline", "aria-label": "Epochs" });
  const charts = el("section", { class: "charts", "aria-label": "Metrics over the epochs" });
  const page = el(
    "main",
    { class: "page", id: "page", hidden: true },
    el("header", { class: "top" }, choosers, actions),
    problems,
    probes,
    viewHead,
    view,
    timeline,
    charts,
  );
  return {
    ...{ page, banner: banner(), waiting: waiting(), empty: empty(), problems },
    ...{ choosers, savePicture, saveFilm, copyLink, probes, viewHead, looks, asking },
    ...{ view, panes, side, gridHead, grid, legend, timeline, charts, needing },
  };
}

/** @type {(id: string, text: string, title: string) => HTMLButtonElement} */
const button = (id, text, title) => el("button", { type: "button", id, text, title });

const banner = () => el("div", { class: "banner", id: "banner", role: "status", hidden: true });

const waiting = () =>
  el("div", { class: "waiting", id: "waiting", role: "status", text: "Reading the log…" });

/** Returns what the keyboard does, and the lines of it that not every run needs. */
function keysHelp() {
  /** @type {{node: HTMLElement, needs: Need}[]} */
  const needing = [];
  const list = el("dl");
  for (const [key, words, needs] of KEYS) {
    const pair = [el("dt", { text: key }), el("dd", { text: words })];
    if (needs) needing.push(...pair.map((node) => ({ node, needs })));
    list.append(...pair);
  }
  const summary = el("summary", { text: "Keys", title: "What the keyboard does" });
  return { help: el("details", { class: "help", id: "keys" }, summary, list), needing };
}

/** Returns what is shown while nothing has been logged. */
function empty() {
  return el(
    "main",
    { class: "empty", id: "empty", hidden: true },
    el("h1", { text: "No attention has been logged here yet" }),
    el("p", { text: "Give the callback to a fit, with the log directory that TensorBoard shows:" }),
    el("pre", {}, el("code", { text: LINES.join("\n") })),
    el("p", {
      class: "muted",
      text: "This page looks again whenever TensorBoard reloads its data.",
    }),
  );
}
