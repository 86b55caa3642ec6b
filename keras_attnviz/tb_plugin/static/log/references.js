// @ts-check
/** Records as a whole: what has not changed in one stands in a kept one that it refers to. */

import { messageOf, Unreadable } from "./blobs.js";

/** @import { Keys } from "./api.js" */
/** @import { Blobs } from "./blobs.js" */
/** @import { Arrays, PackedRecord } from "./format.js" */
/** @import { Entry, Run } from "./run.js" */

/**
 * Where the rows of a layer's heads begin, and in which arrays.
 * @typedef {{arrays: Arrays, begin: number}} Source
 */

/**
 * A record, or of heads one whose layers may stand in another one: then `sources` has for each
 * layer where, see `sourceOf`.
 * @typedef {PackedRecord & {sources?: Source[]}} WholeRecord
 */

/**
 * A record, or why there is none: `promise` after which to ask again, `isMissing` where it was
 * not logged, `failure` where it can't be read.
 * @typedef {Object} Found
 * @property {WholeRecord | null} record
 * @property {Promise<unknown> | null} promise
 * @property {boolean} [isMissing]
 * @property {Unreadable} [failure]
 */

/** @type {WeakMap<PackedRecord, Unreadable>} */
const faults = new WeakMap();

/**
 * Returns the record of a step.
 *
 * @param {Run} run
 * @param {Entry<Keys>} entry of `run.keys`.
 * @param {number} step
 * @returns {Found}
 */
export function recordAt(run, { value, promise }, step) {
  if (!value) return { record: null, promise };
  const key = value.keys.get(step);
  if (!key) return { record: null, promise: null, isMissing: true };
  const kept = keptAt(value, step);
  // Both are asked for at once: most records refer to the kept one, if there is one.
  const own = stateOf(run.blobs, key);
  const base = kept && stateOf(run.blobs, kept.key);
  if (!own.record) {
    const promises = [own.promise, base?.promise].filter(Boolean);
    return { ...own, promise: own.promise && Promise.all(promises) };
  }
  const { fields } = own.record;
  if (fields.layers === undefined) return own;
  if (!kept || !base || kept.step !== fields.kept) {
    return failed(own.record, "What has not changed at this epoch is missing in the log.");
  }
  if (!base.record) return base;
  try {
    return { record: composed(run, own.record, base.record), promise: null };
  } catch (error) {
    return failed(own.record, messageOf(error));
  }
}

/**
 * Returns the key of what a record at a step may refer to, or null.
 *
 * @param {Keys} keys
 * @param {number} step
 */
export function keptAt({ kept }, step) {
  return kept.findLast((each) => each.step <= step) ?? null;
}

/**
 * Returns where the rows of a layer's heads begin.
 *
 * @param {Run} run
 * @param {WholeRecord} record of heads.
 * @param {number} layer
 * @returns {Source}
 */
export function sourceOf(run, record, layer) {
  return record.sources?.[layer] ?? { arrays: record.arrays, begin: run.firstHeads[layer] };
}

/**
 * Returns that a record can't be read; the same error each time that it is asked for.
 *
 * @param {PackedRecord} record
 * @param {string} text
 * @returns {Found}
 */
function failed(record, text) {
  const failure = faults.get(record) ?? new Unreadable(text);
  faults.set(record, failure);
  return { record: null, promise: null, failure };
}

/**
 * Returns a blob as far as it is there.
 *
 * @param {Blobs} blobs
 * @param {string} key
 * @returns {Found}
 */
function stateOf(blobs, key) {
  const failure = blobs.failure(key);
  if (failure) return { record: null, promise: null, failure };
  const record = blobs.peek(key);
  return { record, promise: record ? null : blobs.get(key) };
}

/**
 * Returns a record whose other layers stand in another one.
 *
 * @param {Run} run
 * @param {PackedRecord} record
 * @param {PackedRecord} base the other one.
 * @returns {WholeRecord}
 */
function composed(run, { fields, arrays }, base) {
  const { layers } = run.setup;
  const own = fields.layers;
  /** @type {(each: unknown) => boolean} */
  const isLayer = (each) => Number.isInteger(each) && Number(each) in layers;
  const isWhole = base.fields.layers === undefined;
  if (!Array.isArray(own) || !own.every(isLayer) || !isWhole)
    throw new Error("A record names layers that are not there.");
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
