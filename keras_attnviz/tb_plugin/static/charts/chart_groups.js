// @ts-check
/** The lines of the charts: which metrics of a run are charted, and how their lines are called. */

import { gateOf, isGate } from "../log/gates.js";
import { finiteMean, layerValue } from "../log/metrics.js";
import { layerName, methodName } from "../page/words.js";

/** @import { Series } from "../log/api.js" */
/** @import { PackedArray } from "../log/format.js" */
/** @import { Run } from "../log/run.js" */
/** @import { Group, Line } from "./chart_lines.js" */

/**
 * What is looked at; the lines of `layer` and `head` are emphasized.
 * @typedef {Object} Chosen
 * @property {string} method
 * @property {number} probe
 * @property {number | null} layer
 * @property {number | null} head
 */

/** @typedef {(pick: (array: PackedArray) => number) => Float32Array} Read */

/**
 * Returns the method whose charts are shown: the one whose heatmap is looked at, or the first
 * where that is of a single layer, say.
 *
 * @param {Run} run
 * @param {string} method
 */
export function chartedMethod(run, method) {
  const isCharted = run.setup.series.some((series) => series.method === method);
  return isCharted ? method : run.setup.methods[0];
}

/**
 * Returns the groups of lines for the charts. Of what is measured of each method's heatmaps only
 * that of the chosen method is given.
 *
 * @param {Run} run
 * @param {Chosen} chosen
 * @returns {Group[]}
 */
export function chartGroups(run, chosen) {
  const { method } = chosen;
  const charted = run.setup.series.filter((series) => (series.method ?? method) === method);
  const groups = charted.map((series) => ({
    name: series.name.split("/")[0],
    title: series.method
      ? `${series.title}, ${methodName(method, run).toLowerCase()}`
      : series.title,
    unit: series.unit,
    range: series.range,
    description: series.description,
    lines: linesOf(run, series, chosen),
  }));
  return [...confidenceGroup(run, chosen.probe), ...groups];
}

/**
 * @param {Run} run
 * @param {number} probe
 * @returns {Group[]}
 */
function confidenceGroup(run, probe) {
  /** @type {(label: string, name: string, emphasis: boolean) => Line} */
  const line = (label, name, emphasis) => ({
    label,
    emphasis,
    values: Float32Array.from(run.steps, (step) => run.array(step, name)?.data[probe] ?? NaN),
  });
  const lines = [
    line("of the predicted class", "confidence", false),
    line("of the true class", "label_confidence", true),
  ].filter(({ values }) => values.some(Number.isFinite));
  if (!lines.length) return [];
  const description = "How sure the model is on this probe.";
  return [{ name: "confidence", title: "Confidence", unit: "", range: [0, 1], description, lines }];
}

/**
 * @param {Run} run
 * @param {Series} series
 * @param {Chosen} chosen
 * @returns {Line[]}
 */
function linesOf(run, series, chosen) {
  const { name, axes } = series;
  const { probe } = chosen;
  /** @type {Read} */
  const read = (pick) =>
    Float32Array.from(run.steps, (step) => {
      const array = run.array(step, `series/${name}`);
      return array ? pick(array) : NaN;
    });
  if (axes.length === 0)
    return [{ label: "value", emphasis: true, values: read(({ data }) => data[0]) }];
  if (axes[1] === "frame") {
    const frames = run.setup.frames ?? 0;
    return Array.from({ length: frames }, (_, frame) => ({
      label: `frame ${frame + 1}`,
      emphasis: false,
      values: read(({ data }) => data[probe * frames + frame]),
    }));
  }
  if (axes[0] === "probe") {
    return [
      {
        label: "mean of the probes",
        emphasis: false,
        values: read(({ data }) => finiteMean(data)),
      },
      { label: "this probe", emphasis: true, values: read(({ data }) => data[probe]) },
    ];
  }
  return axes[0] === "gate"
    ? gateLines(run, series, chosen, read)
    : layerLines(run, series, chosen, read);
}

/**
 * Returns the lines of layers, one each, and that of the chosen head.
 *
 * @param {Run} run
 * @param {Series} series
 * @param {Chosen} chosen
 * @param {Read} read
 * @returns {Line[]}
 */
function layerLines(run, { axes }, { layer, head }, read) {
  const ofHead = axes[1] === "head";
  // Gates that stand among the layers have no value.
  const lines = run.setup.layers.flatMap((each, i) =>
    isGate(each)
      ? []
      : {
          label: layerName(run, i),
          emphasis: i === layer && (head === null || !ofHead),
          values: read((array) => layerValue(array, i, null)),
        },
  );
  if (!ofHead || layer === null || head === null) return lines;
  const values = read((array) => layerValue(array, layer, head));
  // The layer is chosen in run A; a run that A is compared with may have fewer, and gates there.
  const label = `layer ${layer + 1}, head ${head + 1}`;
  return [...lines, { label, emphasis: true, values }];
}

/**
 * Returns the lines of gates, one each, or one for each branch of those that have branches.
 *
 * @param {Run} run
 * @param {Series} series
 * @param {Chosen} chosen
 * @param {Read} read
 * @returns {Line[]}
 */
function gateLines(run, { name, axes }, { layer }, read) {
  const gates = run.setup.gates ?? [];
  const chosen = layer === null ? null : run.setup.layers[layer]?.path;
  if (axes[1] === "bin") return [];
  /** @type {(path: string, words: string, at: (array: PackedArray) => number) => Line} */
  const line = (path, words, at) => ({
    label: `${gateOf(run, { path }).name}${words}`,
    emphasis: path === chosen,
    values: read(at),
  });
  if (axes.length === 1) return gates.map(({ path }, i) => line(path, "", ({ data }) => data[i]));
  const branches = [...run.steps].map((s) => run.array(s, `series/${name}`)?.shape[1] ?? 0);
  const most = Math.max(0, ...branches);
  return gates.flatMap(({ path, kind, channels }, i) =>
    Array.from({ length: kind === "branch" ? Math.min(channels, most) : 0 }, (_, branch) =>
      line(path, `, branch ${branch + 1}`, ({ data, shape }) => data[i * shape[1] + branch]),
    ),
  );
}
