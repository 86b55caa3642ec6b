// @ts-check
/** Small line charts, one a group, on the same epochs, with the current epoch marked in each. */

import { contextOf } from "../lib/paint.js";
import { createChart } from "./chart.js";
import { lineColor } from "./chart_lines.js";

/** @import { Chart, ChartView } from "./chart.js" */
/** @import { Group, Line } from "./chart_lines.js" */

/**
 * Another run: its lines are dashed, in the chart of the group of the same name. `steps` and
 * `groups` may be left out where only `step` is to be marked.
 * @typedef {Object} Compared
 * @property {ArrayLike<number>} [steps]
 * @property {Group[]} [groups]
 * @property {number} [step]
 * @property {string} [label]
 */

/**
 * What is charted; `nameStep` and `nameTick` may say how steps are called.
 * @typedef {Object} ChartsData
 * @property {ArrayLike<number>} steps
 * @property {Group[]} groups
 * @property {number} step
 * @property {boolean} dark
 * @property {Compared | null} compare
 * @property {(step: number) => string} [nameStep]
 * @property {(step: number) => string} [nameTick]
 */

/** @typedef {ChartView["onStep"]} OnStep called where a person clicks or drags in a chart. */

/**
 * Puts charts into a container, empty at first.
 *
 * @param {Element} container
 * @param {{onStep: OnStep}} handlers
 */
export function createCharts(container, { onStep }) {
  addStyles();
  const root = document.createElement("div");
  const key = document.createElement("ul");
  const grid = document.createElement("div");
  root.className = "attention-charts";
  key.className = "attention-charts-key";
  grid.className = "attention-charts-grid";
  root.append(key, grid);
  container.append(root);
  /** @type {Chart[]} */
  let charts = [];
  let drawn = "";
  const observer = new ResizeObserver(() => charts.forEach((chart) => chart.resize()));
  observer.observe(root);

  /** @type {Chart["setStep"]} */
  function setStep(step, comparedStep = null) {
    charts.forEach((chart) => chart.setStep(step, comparedStep));
  }

  /** @param {ChartsData} data */
  function update(data) {
    // Drawing anew would end a drag, which goes on while its steps are shown.
    const wanted = fingerprint(data);
    if (wanted !== drawn) redraw(data);
    drawn = wanted;
    setStep(data.step, data.compare?.step);
  }

  /** @param {ChartsData} data */
  function redraw(data) {
    charts.forEach((chart) => chart.destroy());
    root.classList.toggle("dark", Boolean(data.dark));
    const shown = data.steps.length > 0 ? data.groups.filter(({ lines }) => lines.length > 0) : [];
    charts = shown.map((group) => createChart(group, viewOf(data, group, onStep)));
    grid.replaceChildren(...charts.map((chart) => chart.element));
    key.replaceChildren(...keyOf(shown, data));
    charts.forEach((chart) => chart.resize());
  }

  function destroy() {
    observer.disconnect();
    charts.forEach((chart) => chart.destroy());
    root.remove();
  }

  return { update, setStep, destroy };
}

/**
 * Returns a text that is the same where the same is drawn, whatever the current steps are.
 *
 * @param {ChartsData} data
 */
function fingerprint({ steps, groups, dark, compare, nameTick }) {
  const line = (/** @type {Line} */ each) => [each.label, each.emphasis, checksum(each.values)];
  /** @type {(run: Compared) => unknown[]} */
  const content = (run) => [
    Array.from(run.steps ?? []),
    run.label,
    run.groups?.map((group) => ({ ...group, lines: group.lines.map(line) })),
  ];
  const runs = [content({ steps, groups }), content(compare ?? {})];
  return JSON.stringify([runs, Boolean(dark), nameTick?.(steps[0])]);
}

/**
 * FNV-1a of the numbers' bits, so that arrays may be filled in place.
 *
 * @param {Float32Array} values
 */
function checksum(values) {
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  return bits.reduce((sum, word) => Math.imul(sum ^ word, 16777619), 0x811c9dc5);
}

/** Loads style sheets of their own files: a page's security policy may forbid inline styles. */
function addStyles() {
  for (const name of ["../vendor/uPlot.min.css", "charts.css"]) {
    const address = new URL(name, import.meta.url).href;
    if ([...document.styleSheets].some(({ href }) => href === address)) continue;
    if ([...document.querySelectorAll("link")].some(({ href }) => href === address)) continue;
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = address;
    document.head.append(link);
  }
}

/**
 * @param {ChartsData} data
 * @param {Group} group
 * @param {OnStep} onStep
 * @returns {ChartView}
 */
function viewOf(data, group, onStep) {
  const nameTick = data.nameTick ?? String;
  const nameStep = data.nameStep ?? ((step) => `epoch ${nameTick(step)}`);
  const other = data.compare?.groups?.find(({ name }) => name === group.name);
  const steps = Array.from(data.compare?.steps ?? []);
  const compare = other ? { steps, group: other, label: labelOf(data.compare) } : null;
  const dark = Boolean(data.dark);
  return { steps: Array.from(data.steps), compare, dark, nameStep, nameTick, onStep };
}

/** @param {Compared | null} compare */
const labelOf = (compare) => compare?.label ?? "compared run";

/**
 * Returns the entries that say what colors and dashes mean, each once for all charts.
 *
 * @param {Group[]} groups
 * @param {ChartsData} data
 */
function keyOf(groups, { dark, compare }) {
  /** @type {Map<string, {first: string, last: string, count: number}>} */
  const ramps = new Map();
  /** @type {Set<string>} */
  const emphasized = new Set();
  for (const { lines } of groups) {
    const plain = lines.filter(({ emphasis }) => !emphasis).map(({ label }) => label);
    const [first, last] = [plain[0], plain[plain.length - 1]];
    const count = plain.length;
    if (count > 1) ramps.set(`${first} ${last}`, { first, last, count });
    if (lines.length > 1) {
      lines.filter(({ emphasis }) => emphasis).forEach(({ label }) => emphasized.add(label));
    }
  }
  return [
    ...[...ramps.values()].map(({ first, last, count }) => entry(first, ramp(count, dark), last)),
    ...[...emphasized].map((label) => entry(stroke(""), label)),
    ...(compare?.groups ? [entry(stroke("compared"), labelOf(compare))] : []),
  ];
}

/** @param {(string | Node)[]} parts */
function entry(...parts) {
  const item = document.createElement("li");
  item.append(...parts);
  return item;
}

/** @param {string} className */
function stroke(className) {
  const line = document.createElement("i");
  line.className = className;
  return line;
}

/**
 * @param {number} count of lines.
 * @param {boolean} dark
 */
function ramp(count, dark) {
  const canvas = document.createElement("canvas");
  canvas.width = count;
  canvas.height = 1;
  canvas.setAttribute("aria-hidden", "true");
  const context = contextOf(canvas);
  for (let index = 0; index < count; index += 1) {
    context.fillStyle = lineColor(index, count, dark);
    context.fillRect(index, 0, 1, 1);
  }
  return canvas;
}
