// @ts-check
/** What each pane shows: the map, its colors, and the words around it. */

import { el } from "../lib/dom.js";
import { DIFFERENCE_MAP, highest } from "../lib/paint.js";
import { asksPatches, hasMaps, isAbsolute } from "../log/gates.js";
import { clampPatch, difference, findMap, nearestLogged } from "../log/maps.js";
import { selectionFor } from "../state/resolve.js";
import {
  capitalized,
  epochName,
  GATE_UNIT,
  percent,
  predictionText,
  runTitle,
  selectionName,
  UNIT,
  verdictOf,
} from "./words.js";

/** @import { AttentionMap, FoundMap, Missing, ProbeSelection } from "../log/maps.js" */
/** @import { Prediction, Run } from "../log/run.js" */
/** @import { Shown, Side } from "../state/resolve.js" */
/** @import { Look } from "./picture.js" */
/** @import { View } from "./picture_pane.js" */

/**
 * What buttons in messages do.
 * @typedef {Object} Actions
 * @property {(step: number, isSecond: boolean) => void} goTo
 * @property {(probe: number) => void} pickProbe
 */

/** @type {Actions} */
const NO_ACTIONS = { goTo: () => {}, pickProbe: () => {} };
const VERDICTS = { right: "✓ right", wrong: "✗ wrong", unknown: "" };

/**
 * Returns the views of the panes, a promise where something is still to come, and why something
 * can't be read, or null.
 *
 * @param {Shown} shown
 * @param {Actions} [actions]
 * @returns {{views: View[], promise: Promise<unknown> | null, failure: Error | null}}
 */
export function paneViews(shown, actions = NO_ACTIONS) {
  const sides = shown.b ? [shown.a, shown.b] : [shown.a];
  const found = sides.map((side) =>
    findMap(side.run, selectionFor(shown.selection, side), side.step),
  );
  const maps = found.map(({ map }) => map);
  /** @type {View[]} */
  const views = sides.map((side, i) => {
    const view = paneView(shown, side, found[i], sides.length > 1 ? "AB"[i] : null);
    const { missing } = found[i];
    const message = missing ? whyMissing(shown, side, missing, actions, i === 1) : null;
    return { ...view, look: lookOf(shown, view, maps), message };
  });
  if (shown.b && sides.every(({ run }) => hasMaps(run))) {
    views.push(differenceView(shown, [views[0], views[1]], [maps[0], maps[1]]));
  }
  const promises = found.map(({ promise }) => promise).filter(Boolean);
  return {
    views,
    promise: promises.length ? Promise.all(promises) : null,
    failure: found.find(({ failure }) => failure)?.failure ?? null,
  };
}

/**
 * Returns the view of one side, but for its colors and what is missing.
 *
 * @param {Shown} shown
 * @param {Side} side
 * @param {FoundMap} found
 * @param {string | null} letter of the side in a comparison.
 * @returns {Omit<View, "look" | "message">}
 */
function paneView(shown, side, { map, promise }, letter) {
  const { run, step, probe, picture } = side;
  const name = epochName(run, step);
  const selection = selectionFor(shown.selection, side);
  const what = selectionName(run, selection);
  const prediction = run.prediction(step, probe);
  const { patch } = selection;
  const isOfGates = isAbsolute(run, selection);
  return {
    id: `${run.name}|${step}|${probe}|${what}`,
    label: [`${run.setup.probes[probe].name}, ${name}`, what].filter(Boolean).join(": "),
    title: [
      ...(letter ? [el("span", { class: "badge", text: letter })] : []),
      el("strong", { text: capitalized(name) }),
      ...(shown.b && shown.b.run !== shown.a.run
        ? [el("span", { class: "pane-run", text: runTitle(run.name), title: run.name })]
        : []),
      ...predictionNodes(prediction),
    ],
    heading: [letter, name].filter(Boolean).join(": "),
    detail: predictionText(prediction),
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

/**
 * Returns the view of A - B.
 *
 * @param {Shown} shown
 * @param {[View, View]} views of A and of B.
 * @param {[AttentionMap | null, AttentionMap | null]} maps
 * @returns {View}
 */
function differenceView(shown, [a, b], [first, second]) {
  const isAlike = a.isAbsolute === b.isAbsolute;
  const map = first && second && isAlike ? difference(first, second) : null;
  const isMissing = Boolean(first && second && !map);
  const more = a.isAbsolute ? "higher" : "more attention";
  const view = { map, isAbsolute: a.isAbsolute, isDifference: true };
  const reason = isAlike
    ? "The two runs have different grids of patches."
    : "One of the two is of attention, the other of gates.";
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
    isLoading: !isMissing && (a.isLoading || b.isLoading),
    opacity: shown.opacity > 0 ? Math.max(shown.opacity, 0.85) : 0,
    query: map ? a.query : null,
    look: lookOf(shown, view, [map]),
    unit: `A − B, in ${a.isAbsolute ? "gate values" : UNIT}`,
    note: "",
    message: isMissing ? [el("p", { text: reason })] : null,
  };
}

/**
 * Returns a view's colors.
 *
 * @param {Shown} shown
 * @param {Pick<View, "map" | "isAbsolute" | "isDifference">} view
 * @param {(AttentionMap | null)[]} maps of all panes.
 * @returns {Look}
 */
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
    fades: Boolean(isDifference),
  };
}

/**
 * Returns what stands in a pane's title of a prediction.
 *
 * @param {Prediction} prediction
 */
function predictionNodes(prediction) {
  const { predicted, confidence } = prediction;
  if (predicted === null) return [];
  const state = verdictOf(prediction);
  return [
    el(
      "span",
      { class: "prediction", data: { state } },
      el("span", { class: "prediction-class", text: predicted, title: predicted }),
      el("span", { text: Number.isFinite(confidence) ? percent(confidence) : "" }),
      el("span", { class: "verdict", text: VERDICTS[state] }),
    ),
  ];
}

/**
 * Returns what stands below a picture while no patch is under the pointer.
 *
 * @param {Run} run
 * @param {AttentionMap | null} map
 * @param {ProbeSelection} selection
 */
function noteOf(run, map, { patch, layer }) {
  if (map && Number.isFinite(map.others) && map.others > 0) {
    return `${percent(map.others)} of this attention goes to tokens that are no patches.`;
  }
  if (patch) return "The outlined patch is the one that asks.";
  return asksPatches(run, layer) ? "Click a patch to see where its token attends." : "";
}

/**
 * Returns why a map is missing, and buttons that lead to one that is there.
 *
 * @param {Shown} shown
 * @param {Side} side
 * @param {Missing} missing
 * @param {Actions} actions
 * @param {boolean} isSecond
 */
function whyMissing(shown, { run, step, probe }, missing, { goTo, pickProbe }, isSecond) {
  const { full, probes } = run.setup;
  const name = JSON.stringify(probes[probe].name);
  const paragraph = (/** @type {(string | Node)[]} */ ...parts) => el("p", {}, ...parts);
  /** @type {(text: string, click: () => void) => Node} */
  const button = (text, click) =>
    el("button", { type: "button", class: "plain", text, on: { click } });
  if (missing === "readable") {
    return [paragraph("What was logged of this at this epoch can't be read.")];
  }
  if (missing === "probe" && full) {
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
