/** What each pane shows: the map, its colors, and the words around it. */

import { el } from "../lib/dom.js";
import { difference, findMap, methodFor, nearestLogged } from "../log/maps.js";
import { layersText, methodName } from "./choosers.js";
import { asksPatches, capitalized, hasMaps, isAbsolute, isGate, layerName } from "../log/gates.js";
import { DIFFERENCE_MAP, highest } from "../lib/paint.js";
import { percent } from "./probe_strip.js";
import { epochName } from "./timeline.js";

const UNIT = "times uniform attention";
const GATE_UNIT = "gate value: 0 closed, 1 open";

/**
 * Returns the views of the panes, a promise where something is still to come, and why something
 * can't be read, or null.
 *
 * @param {Object} shown the resolved state: `{a, b, selection, opacity, colors, display, scale,
 *     limit, gateLimit}` with `a` and `b` (or null) `{run, step, probe, picture}`.
 * @param {Object} actions what buttons in messages do: `goTo(step, isSecond)`, `pickProbe(probe)`.
 */
export function paneViews(shown, actions) {
  const sides = [shown.a, shown.b].filter(Boolean);
  const found = sides.map((side) =>
    findMap(side.run, selectionFor(shown.selection, side), side.step),
  );
  const maps = found.map(({ map }) => map);
  const views = sides.map((side, i) => {
    const view = paneView(shown, side, found[i], sides.length > 1 ? "AB"[i] : null);
    view.look = lookOf(shown, view, maps);
    if (found[i].missing)
      view.message = whyMissing(shown, side, found[i].missing, actions, i === 1);
    return view;
  });
  if (shown.b && sides.every(({ run }) => hasMaps(run))) {
    views.push(differenceView(shown, views, maps));
  }
  const promises = found.map(({ promise }) => promise).filter(Boolean);
  return {
    views,
    promise: promises.length ? Promise.all(promises) : null,
    failure: found.find(({ failure }) => failure)?.failure ?? null,
  };
}

/** Returns a selection as it holds for one side: another run may have fewer layers and heads. */
export function selectionFor(selection, { run, probe }) {
  const { setup } = run;
  const isOfMethod = selection.layer === null || !setup.layers.length;
  const layer = isOfMethod ? null : Math.min(selection.layer, setup.layers.length - 1);
  const hasHead = layer !== null && !isGate(setup.layers[layer]);
  const head = hasHead && selection.head < setup.layers[layer].heads ? selection.head : null;
  const patch = asksPatches(run, layer) ? selection.patch : null;
  const method = methodFor(setup, { ...selection, layer, patch });
  return { ...selection, probe, layer, head, patch, method };
}

function paneView(shown, side, { map, promise }, letter) {
  const { run, step, probe, picture } = side;
  const name = epochName(run, step);
  const selection = selectionFor(shown.selection, side);
  const what = describe(run, selection);
  const { patch } = selection;
  const isOfGates = isAbsolute(run, selection);
  return {
    id: `${run.name}|${step}|${probe}|${what}`,
    label: [`${run.setup.probes[probe].name}, ${name}`, what].filter(Boolean).join(": "),
    title: [
      ...(letter ? [el("span", { class: "badge", text: letter })] : []),
      el("strong", { text: name.charAt(0).toUpperCase() + name.slice(1) }),
      ...(shown.b && shown.b.run !== shown.a.run
        ? [el("span", { class: "pane-run", text: run.title, title: run.name })]
        : []),
      ...predictionOf(run, step, probe),
    ],
    heading: [letter, name].filter(Boolean).join(": "),
    detail: predictionText(run, step, probe),
    picture,
    map,
    isLoading: Boolean(promise) || !picture,
    opacity: shown.opacity,
    query: patch && map ? clampPatch(patch, run) : null,
    note: noteOf(run, map, selection),
    isPlain: !hasMaps(run),
    isAbsolute: isOfGates,
    unit: isOfGates ? GATE_UNIT : UNIT,
  };
}

function differenceView(shown, [a, b], [first, second]) {
  const isAlike = a.isAbsolute === b.isAbsolute;
  const map = first && second && isAlike ? difference(first, second) : null;
  const isMissing = first && second && !map;
  const more = a.isAbsolute ? "higher" : "more attention";
  const view = { map, isAbsolute: a.isAbsolute, isDifference: true };
  return {
    ...view,
    id: `${a.id}-${b.id}`,
    label: `A minus B: ${a.label} minus ${b.label}`,
    title: [
      el("strong", { text: "A − B" }),
      el("span", { class: "muted", text: `${more} in A is red, in B blue` }),
    ],
    heading: "A − B",
    detail: `red: ${more} in A, blue: in B`,
    picture: shown.a.picture,
    isLoading: (a.isLoading || b.isLoading) && !isMissing,
    opacity: shown.opacity > 0 ? Math.max(shown.opacity, 0.85) : 0,
    query: map ? a.query : null,
    look: lookOf(shown, view, [map]),
    unit: `A − B, in ${a.isAbsolute ? "gate values" : UNIT}`,
    note: "",
    message: isMissing
      ? [
          el("p", {
            text: isAlike
              ? "The two runs have different grids of patches."
              : "One of the two is of attention, the other of gates.",
          }),
        ]
      : null,
  };
}

function lookOf({ scale, limit, gateLimit, colors, display }, view, maps) {
  const { map, isAbsolute: isOfGates, isDifference } = view;
  const ofValues = isOfGates ? gateLimit : limit;
  // Differences are smaller than what they are of.
  const fixed = isDifference ? ofValues / 2 : ofValues;
  const high = scale === "fixed" ? fixed : highest(...(scale === "shared" ? maps : [map]));
  return {
    colors: isDifference ? DIFFERENCE_MAP : colors,
    low: isDifference ? -high : 0,
    high,
    smooth: display === "smooth",
    isFull: scale !== "fixed" || (isOfGates && high >= 1),
    isAbsolute: isOfGates,
    fades: isDifference,
  };
}

/** Returns what is shown, in words. */
export function describe(run, { method, layer, head, patch }) {
  if (layer === null && !run.setup.methods.length) return "";
  const name = layer === null ? methodName(method, run) : capitalized(layerName(run, layer));
  if (isAbsolute(run, { method, layer })) return name;
  const place =
    layer === null
      ? [name, layersText(run, method)].filter(Boolean).join(" over ")
      : `${name}, ${head === null ? "mean of heads" : `head ${head + 1}`}`;
  const from = patch
    ? `patch ${clampPatch(patch, run).join(", ")}`
    : `the ${readoutOf(run)}`;
  return `${place}, from ${from}`;
}

/** Returns how the tokens are called that the predictions are computed from. */
export function readoutOf({ setup }) {
  return setup.readout ?? "read-out";
}

function clampPatch([x, y], { setup }) {
  return [Math.min(x, setup.token_grid[1] - 1), Math.min(y, setup.token_grid[0] - 1)];
}

function predictionText(run, step, probe) {
  const { predicted, confidence, isRight } = run.prediction(step, probe);
  if (predicted === null) return "";
  const sure = Number.isFinite(confidence) ? ` ${percent(confidence)}` : "";
  return `${predicted}${sure}${isRight === null ? "" : isRight ? " (right)" : " (wrong)"}`;
}

function predictionOf(run, step, probe) {
  const { predicted, confidence, isRight } = run.prediction(step, probe);
  if (predicted === null) return [];
  const state = isRight === null ? "unknown" : isRight ? "right" : "wrong";
  const words = { right: "✓ right", wrong: "✗ wrong", unknown: "" }[state];
  return [
    el(
      "span",
      { class: "prediction", data: { state } },
      el("span", { class: "prediction-class", text: predicted, title: predicted }),
      el("span", { text: Number.isFinite(confidence) ? percent(confidence) : "" }),
      el("span", { class: "verdict", text: words }),
    ),
  ];
}

function noteOf(run, map, { patch, layer }) {
  if (map && Number.isFinite(map.others) && map.others > 0) {
    return `${percent(map.others)} of this attention goes to tokens that are no patches.`;
  }
  if (patch) return "The outlined patch is the one that asks.";
  return asksPatches(run, layer) ? "Click a patch to see where its token attends." : "";
}

function whyMissing(shown, { run, step, probe }, missing, { goTo, pickProbe }, isSecond) {
  const { full, probes } = run.setup;
  const name = JSON.stringify(probes[probe].name);
  const paragraph = (...parts) => el("p", {}, ...parts);
  const button = (text, click) =>
    el("button", { type: "button", class: "plain", text, on: { click } });
  if (missing === "readable") {
    return [paragraph("What was logged of this at this epoch can't be read.")];
  }
  if (missing === "probe") {
    return [
      paragraph("From every patch, single layers were logged for these probes only:"),
      paragraph(...full.probes.map((each) => button(probes[each].name, () => pickProbe(each)))),
    ];
  }
  if (missing === "full") {
    return [
      paragraph(
        "Where a patch attends in a single layer was not logged; by rollout it is. " +
          "To log it for some probes, every few epochs:",
      ),
      el("code", {
        text: `AttentionRolloutCallback(probes, "logs", full_probes=[${name}])`,
      }),
    ];
  }
  const near = nearestLogged(run, selectionFor(shown.selection, { run, probe }), step);
  if (missing === "step" && near !== null) {
    return [
      paragraph("This was not logged at this epoch."),
      paragraph(button(`Go to ${epochName(run, near)}`, () => goTo(near, isSecond))),
    ];
  }
  return [paragraph("This was not logged.")];
}
