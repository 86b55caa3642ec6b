/** The page's frame: its sections, empty. */

import { el } from "../lib/dom.js";
import { KEYS } from "./keyboard.js";

const LINES = [
  "from keras_attnviz import AttentionRolloutCallback, ProbeSet",
  "",
  'probes = ProbeSet.from_directory("data/val", image_size=224)',
  'model.fit(..., callbacks=[AttentionRolloutCallback(probes, "logs")])',
];

/** Returns the sections by name, and what is shown for some runs alone: `needing`. */
export function layout() {
  const parts = { needing: [] };
  const part = (name, tag, settings, ...children) => (parts[name] = el(tag, settings, ...children));
  const button = (id, text, title) => el("button", { type: "button", id, text, title });
  part("choosers", "div", { class: "choosers" });
  parts.savePicture = button("save-picture", "Save picture", "Save what is on screen as PNG");
  parts.saveFilm = button("save-film", "Save film", "Save the epochs as GIF or WebM");
  parts.copyLink = button("copy-link", "Copy link", "Copy an address that shows this view");
  parts.help = el(
    "details",
    { class: "help", id: "keys" },
    el("summary", { text: "Keys", title: "What the keyboard does" }),
    el(
      "dl",
      {},
      ...KEYS.flatMap(([key, words, needs]) => {
        const pair = [el("dt", { text: key }), el("dd", { text: words })];
        if (needs) parts.needing.push(...pair.map((node) => ({ node, needs })));
        return pair;
      }),
    ),
  );
  const actions = el(
    "div",
    { class: "page-actions" },
    parts.savePicture,
    parts.saveFilm,
    parts.copyLink,
    parts.help,
  );
  part("banner", "div", { class: "banner", id: "banner", role: "status", hidden: true });
  part("problems", "details", { class: "problems", id: "problems", hidden: true });
  part("probes", "section", { class: "probes", "aria-label": "Probes" });
  part("looks", "div", { class: "looks" });
  part("asking", "div", { class: "asking", id: "asking" });
  part("panes", "div", { class: "panes" });
  part("gridHead", "div", { class: "grid-head" });
  part("grid", "div", { class: "grid" });
  part("legend", "div", { class: "legend" });
  part(
    "side",
    "section",
    { class: "side", "aria-label": "Layers and heads" },
    parts.gridHead,
    parts.grid,
    parts.legend,
  );
  part("timeline", "section", { class: "timeline", "aria-label": "Epochs" });
  part("charts", "section", { class: "charts", "aria-label": "Metrics over the epochs" });
  part(
    "page",
    "main",
    { class: "page", id: "page", hidden: true },
    el("header", { class: "top" }, parts.choosers, actions),
    parts.problems,
    parts.probes,
    part("viewHead", "div", { class: "view-head" }, parts.asking, parts.looks),
    part(
      "view",
      "div",
      { class: "view" },
      el("section", { class: "main-view", "aria-label": "Pictures" }, parts.panes),
      parts.side,
    ),
    parts.timeline,
    parts.charts,
  );
  part(
    "empty",
    "main",
    { class: "empty", id: "empty", hidden: true },
    el("h1", { text: "No attention has been logged here yet" }),
    el("p", { text: "Give the callback to a fit, with the log directory that TensorBoard shows:" }),
    el(
      "pre",
      {},
      el("code", {
        text: LINES.join("\n"),
      }),
    ),
    el("p", {
      class: "muted",
      text: "This page looks again whenever TensorBoard reloads its data.",
    }),
  );
  part("waiting", "div", {
    class: "waiting",
    id: "waiting",
    role: "status",
    text: "Reading the log…",
  });
  return parts;
}
