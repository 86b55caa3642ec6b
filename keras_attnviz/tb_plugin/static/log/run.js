// @ts-check
/** One run of the log: its setup, its epochs, its series of heatmaps, its blobs. */

import { fetchBlobs, fetchEpochs, fetchHeat, fetchKeys, fetchSetup } from "./api.js";
import { gatesByPath } from "./gates.js";

/** @import { Epoch, Keys, Kind, Setup } from "./api.js" */
/** @import { Blobs } from "./blobs.js" */

/**
 * What was asked for: a promise of it, and itself once it is there.
 * @template Value
 * @typedef {{value: Value | null, promise: Promise<Value>}} Entry
 */

/**
 * A probe's heatmaps at all steps, and the index of each step.
 * @typedef {Awaited<ReturnType<typeof fetchHeat>> & {indices: Map<number, number>}} Heat
 */

/**
 * What the model says of a probe; null, and a confidence of NaN, where it is not known.
 * @typedef {Object} Prediction
 * @property {string | null} label
 * @property {string | null} predicted
 * @property {number} confidence
 * @property {boolean | null} isRight
 */

const PICTURES_A_REQUEST = 16;

export class Run {
  /**
   * Returns a run with its setup and epochs read.
   *
   * @param {string} name
   * @param {Blobs} blobs
   */
  static async open(name, blobs) {
    return new Run(name, blobs, ...(await read(name)));
  }

  /**
   * @param {string} name
   * @param {Blobs} blobs
   * @param {Setup} setup
   * @param {Epoch[]} epochs
   */
  constructor(name, blobs, setup, epochs) {
    this.name = name;
    this.blobs = blobs;
    /** @type {Map<number, Promise<Blob>>} by probe */
    this.pictures = new Map();
    /** @type {Map<string, Entry<unknown>>} by what was asked for */
    this.memory = new Map();
    const content = contentOf(setup, epochs);
    this.setup = content.setup;
    this.epochs = content.epochs;
    this.gates = content.gates;
    this.steps = content.steps;
    this.indices = content.indices;
    this.firstHeads = content.firstHeads;
  }

  /** Reads again what may have grown; keeps the pictures while they are the same. */
  async refresh() {
    const [setup, epochs] = await read(this.name);
    const same = JSON.stringify(setup.pictures) === JSON.stringify(this.setup.pictures);
    const past = this.epochs.map(({ fields }) => fields.wall_time);
    if (past.some((time, i) => epochs[i]?.fields.wall_time !== time)) this.blobs.clear();
    if (!same) this.pictures.clear();
    this.memory.clear();
    Object.assign(this, contentOf(setup, epochs));
  }

  /** The step of the last epoch; NaN where there is none yet. */
  get lastStep() {
    return this.steps.at(-1) ?? NaN;
  }

  /**
   * The step before training, or null.
   *
   * @returns {number | null}
   */
  get baseline() {
    const index = this.epochs.findIndex(({ fields }) => fields.is_baseline);
    return index < 0 ? null : this.steps[index];
  }

  /**
   * Returns the record of a step, if it was logged.
   *
   * @param {number} step
   */
  epoch(step) {
    const index = this.indices.get(step);
    return index === undefined ? undefined : this.epochs[index];
  }

  /** @param {number} step */
  isBaseline(step) {
    return Boolean(this.epoch(step)?.fields.is_baseline);
  }

  /**
   * Returns for each layer since which earlier step it is the same, null where it is not.
   *
   * @param {number} step
   * @returns {(number | null)[]}
   */
  unchangedSince(step) {
    const since = this.epoch(step)?.fields.since ?? [];
    return this.setup.layers.map((_, layer) => (since[layer] < step ? since[layer] : null));
  }

  /**
   * Returns the step that was logged at `step` or, of those that were, lies nearest.
   *
   * @param {number} step
   */
  nearest(step) {
    let best = this.lastStep;
    for (const each of this.steps) if (Math.abs(each - step) < Math.abs(best - step)) best = each;
    return best;
  }

  /**
   * Returns a named array of an epoch's record, or null.
   *
   * @param {number} step
   * @param {string} name
   */
  array(step, name) {
    return this.epoch(step)?.arrays[name] ?? null;
  }

  /**
   * Returns what is known of a probe's prediction at a step.
   *
   * @param {number} step
   * @param {number} probe
   * @returns {Prediction}
   */
  prediction(step, probe) {
    const { label } = this.setup.probes[probe];
    const at = (/** @type {string} */ name) => this.array(step, name)?.data[probe];
    const predicted = at("classes") ?? -1;
    const isKnown = predicted >= 0 && label !== null && label !== undefined;
    return {
      label: this.className(label),
      predicted: predicted >= 0 ? this.className(predicted) : null,
      confidence: at("confidence") ?? NaN,
      isRight: isKnown ? predicted === label : null,
    };
  }

  /** @param {number | null | undefined} index */
  className(index) {
    if (index === null || index === undefined) return null;
    return this.setup.class_names?.[index] ?? `class ${index}`;
  }

  /**
   * Returns a probe's heatmaps at all steps.
   *
   * @param {string} method
   * @param {number} probe
   * @returns {Entry<Heat>}
   */
  heat(method, probe) {
    return this._remember(`heat ${method} ${probe}`, async () => {
      const arrays = await fetchHeat(this.name, method, probe);
      return { ...arrays, indices: new Map([...arrays.steps.data].map((step, i) => [step, i])) };
    });
  }

  /**
   * Returns the keys of a probe's blobs.
   *
   * @param {Kind} kind
   * @param {number} probe
   * @param {{method?: string, layer?: number}} [which] the method of `tokens`, the layer of `full`.
   * @returns {Entry<Keys>}
   */
  keys(kind, probe, { method, layer } = {}) {
    return this._remember(`keys ${kind} ${probe} ${method} ${layer}`, () =>
      fetchKeys(this.name, kind, probe, { method, layer }).catch((error) => {
        if (error.status === 404) return { keys: new Map(), kept: [] };
        throw error;
      }),
    );
  }

  /**
   * @template Value
   * @param {string} name
   * @param {() => Promise<Value>} load
   * @returns {Entry<Value>}
   */
  _remember(name, load) {
    const { memory } = this;
    // A name always stands for values of one kind.
    const known = /** @type {Entry<Value> | undefined} */ (memory.get(name));
    if (known) return known;
    const promise = load().then(
      (value) => {
        entry.value = value;
        return value;
      },
      (error) => {
        memory.delete(name);
        throw error;
      },
    );
    /** @type {Entry<Value>} */
    const entry = { value: null, promise };
    memory.set(name, entry);
    return entry;
  }

  /**
   * Returns a promise of a probe's picture.
   *
   * @param {number} probe
   * @returns {Promise<Blob>}
   */
  picture(probe) {
    if (!this.pictures.has(probe)) this._loadPictures([probe]);
    return this.pictures.get(probe) ?? Promise.reject(new Error("This probe has no picture."));
  }

  /** Asks for all probes' pictures, many in a request. */
  loadPictures() {
    const missing = this.setup.probes.map((_, i) => i).filter((i) => !this.pictures.has(i));
    while (missing.length) this._loadPictures(missing.splice(0, PICTURES_A_REQUEST));
  }

  /** @param {number[]} probes */
  _loadPictures(probes) {
    const keys = probes.map((probe) => this.setup.pictures[probe]).filter((key) => key !== null);
    const parts = keys.length ? fetchBlobs(keys) : Promise.resolve([]);
    for (const probe of probes) {
      const at = keys.indexOf(this.setup.pictures[probe] ?? "");
      const promise = parts.then((all) => {
        if (at < 0) throw new Error("This probe has no picture.");
        return new Blob([all[at]], { type: "image/png" });
      });
      // What is missing in the log isn't asked for again.
      promise.catch(() => at >= 0 && this.pictures.delete(probe));
      this.pictures.set(probe, promise);
    }
  }
}

/**
 * Returns what a run holds of its log.
 *
 * @param {Setup} setup
 * @param {Epoch[]} epochs
 */
function contentOf(setup, epochs) {
  const steps = Int32Array.from(epochs, ({ fields }) => fields.step);
  let rows = 0;
  return {
    setup,
    epochs,
    gates: gatesByPath(setup),
    steps,
    indices: new Map([...steps].map((step, i) => [step, i])),
    /** The row at which the heads of each layer begin. */
    firstHeads: setup.layers.map(({ heads }) => {
      rows += heads;
      return rows - heads;
    }),
  };
}

/** @param {string} name */
const read = (name) => Promise.all([fetchSetup(name), fetchEpochs(name)]);
