// @ts-check
/** Which map is asked for, and its values: from a series, a read-out's heads, or a token's row. */

import { dequantizeMean, dequantizeRow } from "./format.js";
import { keptAt, recordAt, sourceOf } from "./references.js";

/** @import { Keys, Setup } from "./api.js" */
/** @import { Arrays } from "./format.js" */
/** @import { WholeRecord } from "./references.js" */
/** @import { Entry, Heat, Run } from "./run.js" */

/**
 * What is looked at: a method's map or, with a layer, that of a head, of the mean of the layer's
 * heads, or of a gate; from the read-out or, with a patch `[x, y]` on the token grid, from that.
 * @typedef {Object} Selection
 * @property {string} method
 * @property {number | null} layer
 * @property {number | null} head
 * @property {number[] | null} patch
 */

/** @typedef {Selection & {probe: number}} ProbeSelection */

/**
 * A map: its values, its grid, the part of the picture that it spans down and across, and the share
 * of attention on tokens that are no patches, NaN where it is not known.
 * @typedef {{values: Float32Array, grid: number[], span: number[], others: number}} AttentionMap
 */

/**
 * Why a map is not there: nothing of its kind was logged, or not at this step, not for this probe;
 * `full` where whole maps of single layers were not logged; `readable` where it can't be read.
 * @typedef {"all" | "step" | "probe" | "full" | "readable"} Missing
 */

/**
 * A map, or why there is none: a promise after which to ask again, or what is missing.
 * @typedef {Object} FoundMap
 * @property {AttentionMap | null} map
 * @property {Promise<unknown> | null} promise
 * @property {Missing | null} missing
 * @property {Error} [failure] where it can't be read.
 */

/**
 * Returns the method whose map is shown: where a patch asks, one that has a map of every patch.
 *
 * @param {Pick<Setup, "methods" | "token_methods">} setup
 * @param {Pick<Selection, "method" | "layer" | "patch">} selection
 */
export function methodFor(
  { methods, token_methods: ofTokens = methods },
  { method, layer, patch },
) {
  const asked = methods.includes(method) ? method : methods[0];
  if (!patch || layer !== null || ofTokens.includes(asked)) return asked;
  return ofTokens[0] ?? asked;
}

/**
 * Returns the map of a selection at a step.
 *
 * @param {Run} run
 * @param {ProbeSelection} selection
 * @param {number} step
 * @returns {FoundMap}
 */
export function findMap(run, selection, step) {
  const { setup } = run;
  const { probe, method, layer, head, patch } = selection;
  if (layer === null && !setup.methods.length) return { map: null, promise: null, missing: null };
  if (!patch && layer === null) return fromHeat(run, run.heat(method, probe), step);
  const entry = keysEntry(run, selection);
  if (!patch && layer !== null) {
    return fromBlob(run, entry, step, (record) => ({
      ...geometry(setup.grid, setup.head_grid),
      ...headsOf(run, record, layer, head),
    }));
  }
  const [height, width] = setup.token_grid;
  const [x, y] = clampPatch(patch ?? [0, 0], run);
  const query = y * width + x;
  if (layer === null) {
    return fromBlob(run, entry, step, ({ arrays }) => ({
      ...geometry(setup.grid, setup.token_grid),
      others: NaN,
      values: dequantizeRow(arrays.tokens, arrays["tokens/highest"], query),
    }));
  }
  if (!setup.full?.probes.includes(probe)) {
    return { map: null, promise: null, missing: setup.full ? "probe" : "full" };
  }
  return fromBlob(run, entry, step, ({ arrays }) => ({
    ...geometry(setup.grid, setup.token_grid),
    others: NaN,
    values: fullRow(arrays, head, query, height * width),
  }));
}

/**
 * Returns a patch within the token grid of a run, which may have fewer of them.
 *
 * @param {number[]} patch `[x, y]`
 * @param {{setup: Setup}} run
 */
export function clampPatch([x, y], { setup }) {
  return [Math.min(x, setup.token_grid[1] - 1), Math.min(y, setup.token_grid[0] - 1)];
}

/**
 * Returns the blob keys of a selection by step, as `run.keys` does; null where it needs none.
 *
 * @param {Run} run
 * @param {ProbeSelection} selection
 * @returns {Entry<Keys> | null}
 */
function keysEntry(run, { probe, method, layer, patch }) {
  const isThere = layer !== null && run.setup.layers.length > 0;
  if (!patch) return isThere ? run.keys("heads", probe) : null;
  if (layer === null) {
    const { methods, token_methods: ofTokens = methods } = run.setup;
    return ofTokens.includes(method) ? run.keys("tokens", probe, { method }) : null;
  }
  return run.setup.full?.probes.includes(probe) ? run.keys("full", probe, { layer }) : null;
}

/**
 * Returns the keys that a selection needs at some steps, as far as they are known.
 *
 * @param {Run} run
 * @param {ProbeSelection} selection
 * @param {number[]} steps
 */
export function keysOf(run, selection, steps) {
  const value = keysEntry(run, selection)?.value;
  if (!value) return [];
  const keys = steps.flatMap((step) => [keptAt(value, step)?.key, value.keys.get(step)]);
  return [...new Set(keys.filter((key) => key !== undefined))];
}

/**
 * Returns the step nearest to `step` at which what a selection needs was logged, or null.
 *
 * @param {Run} run
 * @param {ProbeSelection} selection
 * @param {number} step
 */
export function nearestLogged(run, selection, step) {
  const steps = [...(keysEntry(run, selection)?.value?.keys.keys() ?? [])];
  if (!steps.length) return null;
  return steps.reduce((best, each) =>
    Math.abs(each - step) < Math.abs(best - step) ? each : best,
  );
}

/**
 * Returns a grid and how much of the picture it spans.
 *
 * @param {number[]} finest grid of patches, `[height, width]`.
 * @param {number[]} grid pooled from it by a whole factor; at the border, cells may stand over.
 * @returns {Pick<AttentionMap, "grid" | "span">}
 */
export function geometry(finest, grid) {
  let factor = 1;
  while (factor < finest[0] + finest[1] && grid.some((n, i) => Math.ceil(finest[i] / factor) > n)) {
    factor += 1;
  }
  return { grid, span: grid.map((n, i) => (n * factor) / finest[i]) };
}

/**
 * Returns the values of a layer's head, or of the mean of its heads, and the share of others.
 *
 * @param {Run} run
 * @param {WholeRecord} record of heads.
 * @param {number} layer
 * @param {number | null} head null: the mean.
 * @returns {Pick<AttentionMap, "values" | "others">}
 */
export function headsOf(run, record, layer, head) {
  const { arrays, begin } = sourceOf(run, record, layer);
  const end = begin + run.setup.layers[layer].heads;
  const heads = arrays.heads;
  const highest = arrays["heads/highest"];
  if (head !== null && head < end - begin) {
    return {
      values: dequantizeRow(heads, highest, begin + head),
      others: arrays.others?.data[begin + head] ?? NaN,
    };
  }
  const others = [...(arrays.others?.data.subarray(begin, end) ?? [NaN])];
  return {
    values: dequantizeMean(heads, highest, begin, end),
    others: others.reduce((sum, share) => sum + share, 0) / others.length,
  };
}

/**
 * Returns the map of A - B, or null where their grids differ.
 *
 * @param {AttentionMap} a
 * @param {AttentionMap} b
 * @returns {AttentionMap | null}
 */
export function difference(a, b) {
  if (a.values.length !== b.values.length || a.grid[0] !== b.grid[0]) return null;
  return { ...a, others: NaN, values: a.values.map((value, i) => value - b.values[i]) };
}

/**
 * Returns how much the layers have moved between two records of heads: mean |A - B| each.
 *
 * @param {Run} run
 * @param {WholeRecord} a
 * @param {WholeRecord} b
 */
export function layerChanges(run, a, b) {
  return run.setup.layers.map((_, layer) => {
    const { values } = headsOf(run, a, layer, null);
    const { values: others } = headsOf(run, b, layer, null);
    return values.reduce((sum, v, i) => sum + Math.abs(v - others[i]), 0) / values.length;
  });
}

/**
 * @param {Run} run
 * @param {Entry<Heat>} entry
 * @param {number} step
 * @returns {FoundMap}
 */
function fromHeat(run, entry, step) {
  if (!entry.value) return { map: null, promise: entry.promise, missing: null };
  const index = entry.value.indices.get(step);
  if (index === undefined) return { map: null, promise: null, missing: "step" };
  const values = dequantizeRow(entry.value.heat, entry.value["heat/highest"], index);
  return {
    map: { ...geometry(run.setup.grid, run.setup.grid), values, others: NaN },
    promise: null,
    missing: null,
  };
}

/**
 * @param {Run} run
 * @param {Entry<Keys> | null} entry
 * @param {number} step
 * @param {(record: WholeRecord) => AttentionMap} read
 * @returns {FoundMap}
 */
function fromBlob(run, entry, step, read) {
  if (!entry) return { map: null, promise: null, missing: "all" };
  const { record, promise, isMissing, failure } = recordAt(run, entry, step);
  if (isMissing) return { map: null, promise, missing: entry.value?.keys.size ? "step" : "all" };
  if (failure) return { map: null, promise, missing: "readable", failure };
  if (!record) return { map: null, promise, missing: null };
  return { map: read(record), promise: null, missing: null };
}

/**
 * Returns the row of a patch in a head's whole map, or in the mean of the heads'.
 *
 * @param {Arrays} arrays
 * @param {number | null} head
 * @param {number} query index of the patch.
 * @param {number} cells
 */
function fullRow(arrays, head, query, cells) {
  const heads = arrays.full.shape[0];
  const row = (/** @type {number} */ each) => each * cells + query;
  if (head !== null && head < heads) {
    return dequantizeRow(arrays.full, arrays["full/highest"], row(head));
  }
  const values = new Float32Array(cells);
  for (let each = 0; each < heads; each += 1) {
    dequantizeRow(arrays.full, arrays["full/highest"], row(each), values);
  }
  return values.map((value) => value / heads);
}
