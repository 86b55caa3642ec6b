/** Which map is asked for, and its values: from a series, a read-out's heads, or a token's row. */

import { dequantizeMean, dequantizeRow } from "./format.js";
import { keptAt, recordAt, sourceOf } from "./references.js";

/** Returns the method whose map is shown: where a patch asks, one that tells of every patch. */
export function methodFor({ methods, token_methods: ofTokens = methods }, { method, layer, patch }) {
  const asked = methods.includes(method) ? method : methods[0];
  if (!patch || layer !== null || ofTokens.includes(asked)) return asked;
  return ofTokens[0] ?? asked;
}

/**
 * Returns the map of a selection at a step.
 *
 * @param {Run} run
 * @param {{probe, method, layer, head, patch}} selection
 * @param {number} step
 * @returns {{map: ?Object, promise: ?Promise, missing: ?string}} `map` is `{values, grid, span,
 *     others}`; where it is not there yet, a promise after which to ask again; where it was not
 *     logged or can't be read, why, and then `failure` is the error.
 */
export function findMap(run, selection, step) {
  const { setup } = run;
  const { probe, method, layer, head, patch } = selection;
  if (layer === null && !setup.methods.length) return { map: null, promise: null, missing: null };
  if (!patch && layer === null) return fromHeat(run, run.heat(method, probe), step);
  if (!patch) {
    return fromBlob(run, keysEntry(run, selection), step, (record) => ({
      ...geometry(setup.grid, setup.head_grid),
      ...headsOf(run, record, layer, head),
    }));
  }
  const [height, width] = setup.token_grid;
  const [x, y] = [Math.min(patch[0], width - 1), Math.min(patch[1], height - 1)];
  const query = y * width + x;
  if (layer === null) {
    const entry = keysEntry(run, selection);
    if (!entry) return { map: null, promise: null, missing: "all" };
    return fromBlob(run, entry, step, ({ arrays }) => ({
      ...geometry(setup.grid, setup.token_grid),
      values: dequantizeRow(arrays.tokens, arrays["tokens/highest"], query),
    }));
  }
  if (!setup.full?.probes.includes(probe)) {
    return { map: null, promise: null, missing: setup.full ? "probe" : "full" };
  }
  return fromBlob(run, keysEntry(run, selection), step, ({ arrays }) => ({
    ...geometry(setup.grid, setup.token_grid),
    values: fullRow(arrays, head, query, height * width),
  }));
}

/** Returns the blob keys of a selection by step, as `run.keys` does; null where it needs none. */
function keysEntry(run, { probe, method, layer, patch }) {
  const isThere = layer !== null && run.setup.layers.length > 0;
  if (!patch) return isThere ? run.keys("heads", probe) : null;
  if (layer === null) {
    const { methods, token_methods: ofTokens = methods } = run.setup;
    return ofTokens.includes(method) ? run.keys("tokens", probe, { method }) : null;
  }
  return run.setup.full?.probes.includes(probe) ? run.keys("full", probe, { layer }) : null;
}

/** Returns the keys that a selection needs at some steps, as far as they are known. */
export function keysOf(run, selection, steps) {
  const value = keysEntry(run, selection)?.value;
  if (!value) return [];
  const keys = steps.flatMap((step) => [keptAt(value, step)?.key, value.keys.get(step)]);
  return [...new Set(keys.filter(Boolean))];
}

/** Returns the step nearest to `step` at which what a selection needs was logged, or null. */
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
 */
export function geometry(finest, grid) {
  let factor = 1;
  while (factor < finest[0] + finest[1] && grid.some((n, i) => Math.ceil(finest[i] / factor) > n)) {
    factor += 1;
  }
  return { grid, span: grid.map((n, i) => (n * factor) / finest[i]) };
}

/** Returns the values of a layer's head, or of the mean of its heads, and the share of others. */
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
  const others = arrays.others?.data.subarray(begin, end) ?? [NaN];
  return {
    values: dequantizeMean(heads, highest, begin, end),
    others: others.reduce((sum, share) => sum + share, 0) / others.length,
  };
}

/** Returns the map of A - B, or null where their grids differ. */
export function difference(a, b) {
  if (a.values.length !== b.values.length || a.grid[0] !== b.grid[0]) return null;
  return { ...a, others: NaN, values: a.values.map((value, i) => value - b.values[i]) };
}

/** Returns how much the layers have moved between two records of heads: mean |A - B| each. */
export function layerChanges(run, a, b) {
  return run.setup.layers.map((_, layer) => {
    const { values } = headsOf(run, a, layer, null);
    const { values: others } = headsOf(run, b, layer, null);
    return values.reduce((sum, v, i) => sum + Math.abs(v - others[i]), 0) / values.length;
  });
}

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

function fromBlob(run, entry, step, read) {
  const { record, promise, isMissing, failure } = recordAt(run, entry, step);
  if (isMissing) return { map: null, promise, missing: entry.value.keys.size ? "step" : "all" };
  if (failure) return { map: null, promise, missing: "readable", failure };
  if (!record) return { map: null, promise, missing: null };
  return { map: { others: NaN, ...read(record) }, promise: null, missing: null };
}

function fullRow(arrays, head, query, cells) {
  const heads = arrays.full.shape[0];
  const row = (each) => each * cells + query;
  if (head !== null && head < heads) {
    return dequantizeRow(arrays.full, arrays["full/highest"], row(head));
  }
  const values = new Float32Array(cells);
  for (let each = 0; each < heads; each += 1) {
    dequantizeRow(arrays.full, arrays["full/highest"], row(each), values);
  }
  return values.map((value) => value / heads);
}
