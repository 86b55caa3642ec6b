/** The metrics of a run: lines for the charts, values of one layer and head, what changed most. */

import { areAllGates, isGate } from "./gates.js";
import { layerChanges } from "./maps.js";

/**
 * Returns the method whose charts are shown: the one whose heatmap is looked at, or the first
 * where that is of a single layer, say.
 */
export function chartedMethod(run, method) {
  const isCharted = run.setup.series.some((series) => series.method === method);
  return isCharted ? method : run.setup.methods[0];
}

/**
 * Returns the groups of lines for the charts; `layer` and `head` are shown large. Of what is
 * measured of each method's heatmaps only that of `method` is given.
 */
export function chartGroups(run, { method, probe, layer, head }) {
  const chosen = run.setup.series.filter((series) => (series.method ?? method) === method);
  const groups = chosen.map((series) => ({
    name: series.name.split("/")[0],
    title: series.method ? `${series.title}, ${titleOf(run, method)}` : series.title,
    unit: series.unit,
    range: series.range,
    description: series.description,
    lines: linesOf(run, series, { probe, layer, head }),
  }));
  return [...confidenceGroup(run, probe), ...groups];
}

function titleOf(run, method) {
  return (run.setup.method_titles?.[method] ?? method).toLowerCase();
}

function confidenceGroup(run, probe) {
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
  return [
    {
      name: "confidence",
      title: "Confidence",
      unit: "",
      range: [0, 1],
      description: "How sure the model is on this probe.",
      lines,
    },
  ];
}

function linesOf(run, { name, axes }, { probe, layer, head }) {
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
      { label: "mean of the probes", emphasis: false, values: read(({ data }) => mean(data)) },
      { label: "this probe", emphasis: true, values: read(({ data }) => data[probe]) },
    ];
  }
  if (axes[0] === "gate") return gateLines(run, name, axes, layer, read);
  const ofHead = axes[1] === "head";
  // Gates that stand among the layers have no value.
  const lines = run.setup.layers.flatMap((each, i) =>
    isGate(each)
      ? []
      : {
          label: `layer ${i + 1}`,
          emphasis: i === layer && (head === null || !ofHead),
          values: read((array) => valueOf(array, i, null)),
        },
  );
  if (ofHead && layer !== null && head !== null) {
    lines.push({
      label: `layer ${layer + 1}, head ${head + 1}`,
      emphasis: true,
      values: read((array) => valueOf(array, layer, head)),
    });
  }
  return lines;
}

/** Returns the lines of gates, one each, or one for each branch of those that have branches. */
function gateLines(run, name, axes, layer, read) {
  const gates = run.setup.gates ?? [];
  const chosen = layer === null ? null : run.setup.layers[layer].path;
  if (axes[1] === "bin") return [];
  const line = (path, words, at) => ({
    label: `${run.gates.get(path).name}${words}`,
    emphasis: path === chosen,
    values: read(at),
  });
  if (axes.length === 1) return gates.map(({ path }, i) => line(path, "", ({ data }) => data[i]));
  const most = Math.max(0, ...run.steps.map((s) => run.array(s, `series/${name}`)?.shape[1] ?? 0));
  return gates.flatMap(({ path, kind, channels }, i) =>
    Array.from({ length: kind === "branch" ? Math.min(channels, most) : 0 }, (_, branch) =>
      line(path, `, branch ${branch + 1}`, ({ data, shape }) => data[i * shape[1] + branch]),
    ),
  );
}

function valueOf({ data, shape }, layer, head) {
  if (shape.length < 2) return data[layer];
  const begin = layer * shape[1];
  return head === null ? mean(data.subarray(begin, begin + shape[1])) : data[begin + head];
}

function mean(values) {
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

/** Returns the series that tell something of each layer and head. */
export function measures(run) {
  return run.setup.series.filter(({ axes }) => axes[0] === "layer");
}

/** Returns `{title, unit, low, high, at(layer, head), best}` of a series at a step, or null. */
export function measureAt(run, name, step) {
  const series = measures(run).find((each) => each.name === name);
  const array = series && run.array(step, `series/${name}`);
  if (!array) return null;
  const { high, low } = bounds(run, series);
  const perHead = array.shape.length > 1;
  const at = (layer, head) => (head !== null && !perHead ? NaN : valueOf(array, layer, head));
  let best = null;
  run.setup.layers.forEach(({ heads }, layer) => {
    for (let head = perHead ? 0 : -1; head < (perHead ? heads : 0); head += 1) {
      const place = { layer, head: head < 0 ? null : head };
      const value = at(place.layer, place.head);
      if (Number.isFinite(value) && (!best || value > best.value)) best = { ...place, value };
    }
  });
  return { ...series, low, high, at, best };
}

/** The bars' ends are those of all epochs, so that the bars can be compared between them. */
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

/** Returns whether the log says how far each layer has drifted. */
export function hasDrift(run) {
  return Boolean(driftSeries(run));
}

/** Returns how far each layer has drifted at a step, or null where the log doesn't say. */
function drifts(run, series, step) {
  const array = series && run.array(step, `series/${series.name}`);
  if (!array) return null;
  const { layers } = run.setup;
  if (series.axes[0] === "layer") return layers.map((_, layer) => valueOf(array, layer, null));
  return layers.map(({ path }) => array.data[run.gates.get(path).index] ?? NaN);
}

function driftSeries(run) {
  if (areAllGates(run)) {
    return run.setup.series.find(({ name, axes }) => name === "gate_drift" && axes[0] === "gate");
  }
  const found = measures(run).filter(({ name }) => name.includes("drift"));
  return found.find(({ name }) => name.includes("baseline")) ?? found[0];
}

/**
 * Returns `{layer, value, title}` of the layer that changed most since the baseline, or null.
 *
 * @param {?Object} heads record of the step, and of the baseline: what is compared where the log
 *     has no drift by layer.
 */
export function mostChanged(run, step, heads, baselineHeads) {
  if (run.isBaseline(step)) return null;
  const series = driftSeries(run);
  let values = drifts(run, series, step);
  if (!series && heads && baselineHeads) values = layerChanges(run, heads, baselineHeads);
  if (!values || values.length < 2) return null;
  const layer = values.reduce((best, v, i) => (v > (values[best] || 0) ? i : best), 0);
  return values[layer] > 0 ? { layer, value: values[layer], title: series?.title ?? null } : null;
}
