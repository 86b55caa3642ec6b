// @ts-check
/** The metrics of a run: the values of one layer and head, and which layer changed most. */

import { areAllGates, gateOf } from "./gates.js";
import { layerChanges } from "./maps.js";

/** @import { Series } from "./api.js" */
/** @import { PackedArray } from "./format.js" */
/** @import { WholeRecord } from "./references.js" */
/** @import { Run } from "./run.js" */

/** @typedef {{layer: number, head: number | null, value: number}} Best */

/**
 * A metric of layers and heads at one step. `at` gives NaN where there is no value; `low` and
 * `high` are those of all epochs; `best` is the layer and head of the highest value.
 * @typedef {Series & {low: number, high: number, best: Best | null,
 *     at: (layer: number, head: number | null) => number}} Measure
 */

/** @typedef {{layer: number, value: number, title: string | null}} Changed */

/**
 * Returns the value of a layer's head, or the mean of its heads.
 *
 * @param {PackedArray} array `[layers]` or `[layers, heads]`
 * @param {number} layer
 * @param {number | null} head null: the mean.
 */
export function layerValue({ data, shape }, layer, head) {
  if (shape.length < 2) return data[layer];
  const begin = layer * shape[1];
  return head === null ? finiteMean(data.subarray(begin, begin + shape[1])) : data[begin + head];
}

/**
 * Returns the mean of the values that are numbers, NaN where there is none.
 *
 * @param {Iterable<number>} values
 */
export function finiteMean(values) {
  let sum = 0;
  let count = 0;
  for (const value of values) {
    if (Number.isFinite(value)) {
      sum += value;
      count += 1;
    }
  }
  return count ? sum / count : NaN;
}

/**
 * Returns the metrics that have a value for each layer, or for each layer and head.
 *
 * @param {Run} run
 */
export function measures(run) {
  return run.setup.series.filter(({ axes }) => axes[0] === "layer");
}

/**
 * Returns a metric of layers and heads at a step, or null.
 *
 * @param {Run} run
 * @param {string} name
 * @param {number} step
 * @returns {Measure | null}
 */
export function measureAt(run, name, step) {
  const series = measures(run).find((each) => each.name === name);
  const array = series && run.array(step, `series/${name}`);
  if (!series || !array) return null;
  const { high, low } = bounds(run, series);
  const perHead = array.shape.length > 1;
  /** @type {Measure["at"]} */
  const at = (layer, head) => (head !== null && !perHead ? NaN : layerValue(array, layer, head));
  /** @type {Best | null} */
  let best = null;
  for (const [layer, { heads }] of run.setup.layers.entries()) {
    for (const head of perHead ? Array(heads).keys() : [null]) {
      const value = at(layer, head);
      if (Number.isFinite(value) && (!best || value > best.value)) best = { layer, head, value };
    }
  }
  return { ...series, low, high, at, best };
}

/**
 * The bars' ends are those of all epochs, so that the bars can be compared between them.
 *
 * @param {Run} run
 * @param {Series} series
 */
function bounds(run, { name, range }) {
  let [low, high] = [range[0] ?? Infinity, -Infinity];
  for (const { arrays } of run.epochs) {
    for (const value of arrays[`series/${name}`]?.data ?? []) {
      if (value > high) high = value;
      if (value < low) low = value;
    }
  }
  return { low, high };
}

/**
 * Returns whether the log says how far each layer has drifted.
 *
 * @param {Run} run
 */
export function hasDrift(run) {
  return Boolean(driftSeries(run));
}

/**
 * Returns how far each layer has drifted at a step, or null where the log doesn't say.
 *
 * @param {Run} run
 * @param {Series} series
 * @param {number} step
 */
function drifts(run, series, step) {
  const array = run.array(step, `series/${series.name}`);
  if (!array) return null;
  const { layers } = run.setup;
  if (series.axes[0] === "layer") return layers.map((_, layer) => layerValue(array, layer, null));
  return layers.map(({ path }) => array.data[gateOf(run, { path }).index] ?? NaN);
}

/** @param {Run} run */
function driftSeries(run) {
  if (areAllGates(run)) {
    return run.setup.series.find(({ name, axes }) => name === "gate_drift" && axes[0] === "gate");
  }
  const found = measures(run).filter(({ name }) => name.includes("drift"));
  return found.find(({ name }) => name.includes("baseline")) ?? found[0];
}

/**
 * Returns the layer that changed most since the baseline, or null.
 *
 * @param {Run} run
 * @param {number} step
 * @param {WholeRecord | null} heads of the step.
 * @param {WholeRecord | null} baselineHeads what they are compared with where the log has no drift
 *     by layer.
 * @returns {Changed | null}
 */
export function mostChanged(run, step, heads, baselineHeads) {
  if (run.isBaseline(step)) return null;
  const series = driftSeries(run);
  let values = series ? drifts(run, series, step) : null;
  if (!series && heads && baselineHeads) values = layerChanges(run, heads, baselineHeads);
  if (!values || values.length < 2) return null;
  const layer = values.reduce((best, v, i) => (v > (values[best] || 0) ? i : best), 0);
  return values[layer] > 0 ? { layer, value: values[layer], title: series?.title ?? null } : null;
}
