/** One run of the log: its setup, its epochs, its series of heatmaps, its blobs. */

import { fetchBlobs, fetchEpochs, fetchHeat, fetchKeys, fetchSetup } from "./api.js";
import { gatesByPath } from "./gates.js";

const PICTURES_A_REQUEST = 16;

export class Run {
  /** Returns a run with its setup and epochs read. */
  static async open(name, blobs) {
    const run = new Run(name, blobs);
    await run.refresh();
    return run;
  }

  constructor(name, blobs) {
    this.name = name;
    this.blobs = blobs;
    this.pictures = new Map(); // probe to promise of a Blob
    this.memory = new Map(); // what was asked for, to {promise, value}
  }

  /** Reads again what may have grown; keeps the pictures while they are the same. */
  async refresh() {
    const [setup, epochs] = await Promise.all([fetchSetup(this.name), fetchEpochs(this.name)]);
    const same = JSON.stringify(setup.pictures) === JSON.stringify(this.setup?.pictures);
    const past = this.epochs?.map(({ fields }) => fields.wall_time) ?? [];
    if (past.some((time, i) => epochs[i]?.fields.wall_time !== time)) this.blobs.clear();
    if (!same) this.pictures.clear();
    this.setup = setup;
    this.gates = gatesByPath(setup);
    this.epochs = epochs;
    this.steps = Int32Array.from(epochs, ({ fields }) => fields.step);
    this.indices = new Map([...this.steps].map((step, i) => [step, i]));
    this.memory.clear();
    this.firstHeads = [];
    let rows = 0;
    for (const { heads } of setup.layers) {
      this.firstHeads.push(rows);
      rows += heads;
    }
    this.firstHeads.push(rows);
  }

  /** What people call the run: the callback writes into `attention` in its log directory. */
  get title() {
    return runTitle(this.name);
  }

  get lastStep() {
    return this.steps.length ? this.steps[this.steps.length - 1] : null;
  }

  /** The step before training, or null. */
  get baseline() {
    const index = this.epochs.findIndex(({ fields }) => fields.is_baseline);
    return index < 0 ? null : this.steps[index];
  }

  isBaseline(step) {
    return Boolean(this.epochs[this.indices.get(step)]?.fields.is_baseline);
  }

  /** Returns for each layer since which earlier step it is the same, null where it is not. */
  unchangedSince(step) {
    const since = this.epochs[this.indices.get(step)]?.fields.since;
    return this.setup.layers.map((_, layer) => (since?.[layer] < step ? since[layer] : null));
  }

  /** Returns the step that was logged at `step` or, of those that were, lies nearest. */
  nearest(step) {
    let best = this.lastStep;
    for (const each of this.steps) if (Math.abs(each - step) < Math.abs(best - step)) best = each;
    return best;
  }

  /** Returns a named array of an epoch's record, or null. */
  array(step, name) {
    return this.epochs[this.indices.get(step)]?.arrays[name] ?? null;
  }

  /** Returns what is known of a probe's prediction at a step. */
  prediction(step, probe) {
    const { label } = this.setup.probes[probe];
    const at = (name) => this.array(step, name)?.data[probe];
    const predicted = at("classes") ?? -1;
    const isKnown = predicted >= 0 && label !== null && label !== undefined;
    return {
      label: this.className(label),
      predicted: predicted >= 0 ? this.className(predicted) : null,
      confidence: at("confidence") ?? NaN,
      isRight: isKnown ? predicted === label : null,
    };
  }

  className(index) {
    if (index === null || index === undefined) return null;
    return this.setup.class_names?.[index] ?? `class ${index}`;
  }

  /** Returns `{value, promise}` of a probe's heatmaps at all steps; `value` once it is there. */
  heat(method, probe) {
    return this._remember(`heat ${method} ${probe}`, async () => {
      const arrays = await fetchHeat(this.name, method, probe);
      return { ...arrays, indices: new Map([...arrays.steps.data].map((step, i) => [step, i])) };
    });
  }

  /** Returns `{value, promise}` of the blobs' keys, see `fetchKeys`. */
  keys(kind, probe, { method, layer } = {}) {
    return this._remember(`keys ${kind} ${probe} ${method} ${layer}`, () =>
      fetchKeys(this.name, kind, probe, { method, layer }).catch((error) => {
        if (error.status === 404) return { keys: new Map(), kept: [] };
        throw error;
      }),
    );
  }

  _remember(name, load) {
    if (!this.memory.has(name)) {
      const entry = { value: null };
      const { memory } = this;
      entry.promise = load().then(
        (value) => {
          entry.value = value;
          return value;
        },
        (error) => {
          memory.delete(name);
          throw error;
        },
      );
      memory.set(name, entry);
    }
    return this.memory.get(name);
  }

  /** Returns a promise of a probe's picture, a Blob. */
  picture(probe) {
    if (!this.pictures.has(probe)) this._loadPictures([probe]);
    return this.pictures.get(probe);
  }

  /** Asks for all probes' pictures, many in a request. */
  loadPictures() {
    const missing = this.setup.probes.map((_, i) => i).filter((i) => !this.pictures.has(i));
    while (missing.length) this._loadPictures(missing.splice(0, PICTURES_A_REQUEST));
  }

  _loadPictures(probes) {
    const parts = fetchBlobs(probes.map((probe) => this.setup.pictures[probe]));
    probes.forEach((probe, i) => {
      const promise = parts.then((all) => new Blob([all[i]], { type: "image/png" }));
      promise.catch(() => this.pictures.delete(probe));
      this.pictures.set(probe, promise);
    });
  }
}

export function runTitle(name) {
  return name.replace(/\/attention$/, "");
}
