// @ts-check
/** The plugin's routes; keras_attnviz/tb_plugin/http_api.md describes them. */

import { splitFrames, unpack } from "./format.js";

/** @import { Arrays, PackedArray, PackedRecord } from "./format.js" */

/**
 * A layer of the model: of attention or, with `is_absolute`, of a spatial gate.
 * @typedef {Object} Layer
 * @property {string} path
 * @property {string} kind
 * @property {number} heads
 * @property {boolean} trainable
 * @property {boolean} [is_absolute] whether its values are absolute: 0 closed, 1 open.
 */

/**
 * A gate of a convolutional network.
 * @typedef {Object} Gate
 * @property {string} path
 * @property {string} kind
 * @property {number} channels of a gate among branches how many of these there are.
 * @property {[number, number]} grid
 */

/**
 * A metric that is logged at each epoch.
 * @typedef {Object} Series
 * @property {string} name
 * @property {string} title
 * @property {string} unit
 * @property {string[]} axes
 * @property {[number | null, number | null]} range null where an end is open.
 * @property {string} [description]
 * @property {string} [method] whose heatmaps it measures.
 */

/**
 * What a log says of its run once, see docs/log-format.md.
 * @typedef {Object} Setup
 * @property {[number, number]} grid rows and columns, as of all grids.
 * @property {[number, number]} head_grid
 * @property {[number, number]} token_grid
 * @property {string} [readout]
 * @property {Layer[]} layers
 * @property {string[]} methods
 * @property {Object<string, string>} [method_titles]
 * @property {string[]} [token_methods]
 * @property {string[]} [absolute_methods]
 * @property {Gate[]} [gates]
 * @property {{start_layer?: number}} [rollout]
 * @property {{name: string, label?: number | null}[]} probes
 * @property {(string | null)[]} pictures a blob key for each probe.
 * @property {string[] | null} [class_names]
 * @property {{limit: number, limits?: Object<string, number>, map: string, opacity: number}} colors
 * @property {Series[]} series
 * @property {{probes: number[]} | null} [full]
 * @property {number | null} [frames] of a video.
 * @property {string[]} [problems] what can't be read, in words.
 */

/**
 * The header of an `epoch` record.
 * @typedef {Object} EpochFields
 * @property {number} step
 * @property {number} wall_time
 * @property {boolean} is_baseline
 * @property {number[]} [since] for each layer the step since which it has been the same.
 */

/** @typedef {{fields: EpochFields, arrays: Arrays}} Epoch */

/** @typedef {"heads" | "tokens" | "full"} Kind */

/**
 * Where blobs are: a key for each step, and by steps those that others may refer to.
 * @typedef {{keys: Map<number, string>, kept: {step: number, key: string}[]}} Keys
 */

/** An answer that isn't there: the network's fault has no `status`, the server's has. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} [status]
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/**
 * @param {string} route
 * @param {[string, string | number][]} parameters
 */
async function get(route, parameters = []) {
  const query = parameters.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
  let response;
  try {
    response = await fetch(query ? `./${route}?${query}` : `./${route}`);
  } catch {
    throw new ApiError("TensorBoard does not answer.");
  }
  if (!response.ok) {
    const text = (await response.text()).slice(0, 300);
    throw new ApiError(text || `TensorBoard answered ${response.status}.`, response.status);
  }
  return response;
}

/** @param {Parameters<typeof get>} request */
const json = async (...request) => (await get(...request)).json();
/** @param {Parameters<typeof get>} request */
const bytes = async (...request) => (await get(...request)).arrayBuffer();

/**
 * Returns the runs of the log.
 *
 * @returns {Promise<{run: string, last_step: number}[]>}
 */
export async function fetchRuns() {
  return (await json("runs")).runs;
}

/**
 * Returns the setup of a run.
 *
 * @param {string} run
 * @returns {Promise<Setup>}
 */
export function fetchSetup(run) {
  return json("setup", [["run", run]]);
}

/**
 * Returns the `epoch` records in the order of steps.
 *
 * @param {string} run
 * @returns {Promise<Epoch[]>}
 */
export async function fetchEpochs(run) {
  const records = splitFrames(await bytes("epochs", [["run", run]])).map(unpack);
  return /** @type {(PackedRecord & Epoch)[]} */ (records);
}

/**
 * Returns a probe's heatmaps at all steps.
 *
 * @param {string} run
 * @param {string} method
 * @param {number} probe
 * @returns {Promise<{steps: PackedArray, heat: PackedArray, "heat/highest": PackedArray}>}
 */
export async function fetchHeat(run, method, probe) {
  const { arrays } = unpack(
    await bytes("heat", [
      ["run", run],
      ["method", method],
      ["probe", probe],
    ]),
  );
  const { steps, heat, "heat/highest": highest } = arrays;
  return { steps, heat, "heat/highest": highest };
}

/**
 * Returns the keys of a probe's blobs.
 *
 * @param {string} run
 * @param {Kind} kind
 * @param {number} probe
 * @param {{method?: string, layer?: number}} which the method of `tokens`, the layer of `full`.
 * @returns {Promise<Keys>}
 */
export async function fetchKeys(run, kind, probe, { method, layer }) {
  /** @type {[string, string | number][]} */
  const query = [
    ["run", run],
    ["kind", kind],
    ["probe", probe],
  ];
  if (method !== undefined) query.push(["method", method]);
  if (layer !== undefined) query.push(["layer", layer]);
  /** @type {{steps: number[], keys: string[], kept: {steps: number[], keys: string[]}}} */
  const { steps, keys, kept } = await json("keys", query);
  return {
    keys: new Map(steps.map((step, i) => [step, keys[i]])),
    kept: kept.steps.map((step, i) => ({ step, key: kept.keys[i] })),
  };
}

/**
 * Returns the blobs of some keys, in their order.
 *
 * @param {string[]} keys
 * @returns {Promise<ArrayBuffer[]>}
 */
export async function fetchBlobs(keys) {
  return splitFrames(
    await bytes(
      "blobs",
      keys.map((key) => ["key", key]),
    ),
  );
}
