// @ts-check
/** The words of the page: how what is shown is called, and how numbers are read. */

import { gateOf, isAbsolute, isGate } from "../log/gates.js";
import { clampPatch } from "../log/maps.js";

/** @import { Setup } from "../log/api.js" */
/** @import { NamedGate } from "../log/gates.js" */
/** @import { AttentionMap, Selection } from "../log/maps.js" */
/** @import { Prediction, Run } from "../log/run.js" */

/** @typedef {{setup: Setup}} WithSetup */
/** @typedef {{setup: Setup, gates: Map<string, NamedGate>}} WithGates */
/** @typedef {Pick<Run, "isBaseline" | "lastStep">} WithEpochs */

export const UNIT = "times uniform attention";
export const GATE_UNIT = "gate value: 0 closed, 1 open";

/* Numbers */

/**
 * Returns a share in percent; only all of it is 100 %.
 *
 * @param {number} share
 */
export function percent(share) {
  if (share > 0.995 && share < 1) return `${Math.min(99.9, 100 * share).toFixed(1)} %`;
  return `${Math.round(100 * share)} %`;
}

/**
 * Returns a value in times uniform.
 *
 * @param {number} value
 */
export function times(value) {
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 9.95 ? 1 : 2;
  return `${value.toFixed(digits).replace("-", "−")}×`;
}

/**
 * Returns a map's value: in times uniform, or absolute as of gates.
 *
 * @param {number} value
 * @param {boolean} isOfGates
 */
export function inUnit(value, isOfGates) {
  return isOfGates ? value.toFixed(2).replace("-", "−") : times(value);
}

/**
 * Returns a number as short as it can be read.
 *
 * @param {number} value
 */
export function short(value) {
  return String(Number(value.toPrecision(3))).replace("-", "−");
}

/**
 * Returns a count of things.
 *
 * @param {number} count
 * @param {string} noun
 */
export function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * Returns a text with a capital letter.
 *
 * @param {string} text
 */
export const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/* Runs and epochs */

/**
 * Returns what people call a run: the callback writes into `attention` in its log directory.
 *
 * @param {string} name
 */
export function runTitle(name) {
  return name.replace(/\/attention$/, "");
}

/**
 * Returns how a step is called: people count epochs from 1, the log from 0.
 *
 * @param {WithEpochs} run
 * @param {number} step
 */
export function epochName(run, step) {
  return run.isBaseline(step) ? "baseline" : `epoch ${step + 1}`;
}

/**
 * Returns the same with how many there are.
 *
 * @param {WithEpochs} run
 * @param {number} step
 */
export function epochOf(run, step) {
  if (run.isBaseline(step))
    return run.lastStep >= 0 ? `baseline, before epoch ${step + 2}` : "baseline";
  return `epoch ${step + 1} of ${run.lastStep + 1}`;
}

/**
 * Returns since when a layer is unchanged.
 *
 * @param {WithEpochs} run
 * @param {number} since step.
 */
export function unchangedText(run, since) {
  return `unchanged since ${run.isBaseline(since) ? "before training" : epochName(run, since)}`;
}

/* Methods, layers, heads */

/**
 * Returns a method's name.
 *
 * @param {string} method
 * @param {WithSetup} run
 */
export function methodName(method, { setup }) {
  return capitalized(setup.method_titles?.[method] ?? method.replaceAll("_", " "));
}

/**
 * Returns which layers the method goes through: from the callback's `start_layer` up.
 *
 * @param {WithSetup} run
 * @param {string} method
 */
export function layersText({ setup }, method) {
  if (method !== "rollout") return "";
  const count = setup.layers.filter((layer) => !isGate(layer)).length;
  const start = ((setup.rollout?.start_layer ?? 0) + count) % count;
  if (start === 0) return "all layers";
  return start === count - 1 ? `layer ${count}` : `layers ${start + 1} to ${count}`;
}

/**
 * Returns `layer 3` or `gate where`.
 *
 * @param {WithGates} run
 * @param {number} layer
 */
export function layerName(run, layer) {
  const found = run.setup.layers[layer];
  return isGate(found) ? `gate ${gateOf(run, found).name}` : `layer ${layer + 1}`;
}

/**
 * Returns `layer 3, head 2`, `layer 3, mean of heads` or `gate where`.
 *
 * @param {WithGates} run
 * @param {number} layer
 * @param {number | null} head null: the mean.
 */
export function headName(run, layer, head) {
  const name = layerName(run, layer);
  if (isGate(run.setup.layers[layer])) return name;
  return `${name}, ${head === null ? "mean of heads" : `head ${head + 1}`}`;
}

/**
 * Returns what all maps of layers are called together.
 *
 * @param {WithSetup} run
 */
export function layersTitle({ setup }) {
  if (!setup.layers.some(isGate)) return "Layers and heads";
  return setup.layers.every(isGate) ? "Gates" : "Layers and gates";
}

/**
 * Returns how the tokens are called that the predictions are computed from.
 *
 * @param {WithSetup} run
 */
export function readoutOf({ setup }) {
  return setup.readout ?? "read-out";
}

/**
 * Returns what is looked at: `Layer 3, head 2, from the class token`.
 *
 * @param {WithGates} run
 * @param {Selection} selection
 */
export function selectionName(run, { method, layer, head, patch }) {
  if (layer === null && !run.setup.methods.length) return "";
  const ofMethod = layer === null;
  const name = ofMethod ? methodName(method, run) : capitalized(headName(run, layer, head));
  if (isAbsolute(run, { method, layer })) return name;
  const place = [name, ofMethod && layersText(run, method)].filter(Boolean).join(" over ");
  const from = patch ? `patch ${clampPatch(patch, run).join(", ")}` : `the ${readoutOf(run)}`;
  return `${place}, from ${from}`;
}

/* Probes */

/**
 * Returns a probe in words: its label, what was predicted, and whether that is right.
 *
 * @param {string} name
 * @param {Prediction} prediction
 */
export function probeText(name, { label, predicted, confidence, isRight }) {
  const parts = [];
  if (label !== null) parts.push(labelText(label));
  if (predicted !== null) {
    const sure = Number.isFinite(confidence) ? ` with ${percent(confidence)}` : "";
    parts.push(`predicted ${predicted}${sure}`);
  }
  if (isRight !== null) parts.push(isRight ? "right" : "wrong");
  return { title: name, text: parts.join(" · ") };
}

/**
 * Returns a probe's label in words.
 *
 * @param {string | null} label
 */
export const labelText = (label) => (label === null ? "" : `labeled ${label}`);

/**
 * Returns how many probes are predicted rightly or, where that is not known, how many there are.
 *
 * @param {Prediction[]} predictions
 */
export function countText(predictions) {
  const known = predictions.filter(({ isRight }) => isRight !== null);
  const right = known.filter(({ isRight }) => isRight).length;
  return known.length ? `${right} of ${known.length} right` : plural(predictions.length, "probe");
}

/**
 * Returns whether a prediction is right: `right`, `wrong` or `unknown`.
 *
 * @param {Prediction} prediction
 */
export function verdictOf({ isRight }) {
  if (isRight === null) return "unknown";
  return isRight ? "right" : "wrong";
}

/**
 * Returns a prediction in one line.
 *
 * @param {Prediction} prediction
 */
export function predictionText({ predicted, confidence, isRight }) {
  if (predicted === null) return "";
  const sure = Number.isFinite(confidence) ? ` ${percent(confidence)}` : "";
  return `${predicted}${sure}${isRight === null ? "" : isRight ? " (right)" : " (wrong)"}`;
}

/* Values of a map */

/**
 * Returns the value of a patch under the pointer, or an empty text where the map has none.
 *
 * @param {AttentionMap} map
 * @param {number[]} patch `[x, y]`
 * @param {{isAbsolute: boolean, isDifference?: boolean}} view
 */
export function patchText(map, [x, y], { isAbsolute: isOfGates, isDifference }) {
  const value = map.values[y * map.grid[1] + x];
  if (value === undefined) return "";
  const words = `${isDifference && value > 0 ? "+" : ""}${inUnit(value, isOfGates)}`;
  return isOfGates ? `At ${x}, ${y}: gate ${words}` : `Patch ${x}, ${y}: ${words} uniform`;
}
