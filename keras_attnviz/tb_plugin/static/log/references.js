/** Records as a whole: what has not changed in one stands in a kept one that it refers to. */

import { Unreadable } from "./blobs.js";

const faults = new WeakMap(); // record to Unreadable

/**
 * Returns the record of a step.
 *
 * @param {Run} run
 * @param {{value: ?{keys: Map, kept: Array}, promise: Promise}} entry of `run.keys`.
 * @param {number} step
 * @returns {{record: ?Object, promise: ?Promise, isMissing: ?boolean, failure: ?Error}} where the
 *     record is not there yet, a promise after which to ask again. Of a record of heads some layers
 *     may stand in another one: `sources` tells for each, see `sourceOf`.
 */
export function recordAt(run, { value, promise }, step) {
  if (!value) return { record: null, promise };
  const key = value.keys.get(step);
  if (!key) return { record: null, promise: null, isMissing: true };
  const kept = keptAt(value, step);
  // Both are asked for at once: most records refer to the kept one, if there is one.
  const [own, base] = [key, kept?.key].map((each) => each && stateOf(run.blobs, each));
  if (!own.record) {
    const promises = [own.promise, base?.promise].filter(Boolean);
    return { ...own, promise: own.promise && Promise.all(promises) };
  }
  const { fields } = own.record;
  if (fields.layers === undefined) return own;
  if (!kept || kept.step !== fields.kept) {
    return failed(own.record, "What has not changed at this epoch is missing in the log.");
  }
  if (!base.record) return base;
  try {
    return { record: composed(run, own.record, base.record), promise: null };
  } catch (error) {
    return failed(own.record, error.message);
  }
}

/** Returns the key of what a record at a step may refer to, `{step, key}`, or null. */
export function keptAt({ kept }, step) {
  return kept.findLast((each) => each.step <= step) ?? null;
}

/** Returns where the rows of a layer's heads begin: `{arrays, begin}`. */
export function sourceOf(run, record, layer) {
  return record.sources?.[layer] ?? { arrays: record.arrays, begin: run.firstHeads[layer] };
}

/** Returns that a record can't be read; the same error each time that it is asked for. */
function failed(record, text) {
  if (!faults.has(record)) faults.set(record, new Unreadable(text));
  return { record: null, promise: null, failure: faults.get(record) };
}

function stateOf(blobs, key) {
  const failure = blobs.failure(key);
  if (failure) return { record: null, promise: null, failure };
  const record = blobs.peek(key);
  return { record, promise: record ? null : blobs.get(key) };
}

function composed(run, { fields, arrays }, base) {
  const { layers } = run.setup;
  const own = fields.layers;
  const isLayer = (each) => Number.isInteger(each) && each >= 0 && each < layers.length;
  const isValid = Array.isArray(own) && own.every(isLayer) && base.fields.layers === undefined;
  if (!isValid) throw new Error("A record names layers that are not there.");
  if (!own.length) return base;
  let begin = 0;
  const sources = layers.map((_, layer) => sourceOf(run, base, layer));
  for (const layer of own) {
    sources[layer] = { arrays, begin };
    begin += layers[layer].heads;
  }
  if (arrays.heads?.shape[0] !== begin) throw new Error("A record has other layers than it names.");
  return { fields, arrays, sources };
}
