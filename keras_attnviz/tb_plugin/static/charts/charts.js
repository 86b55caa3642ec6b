// Small line charts, one a group, on the same epochs, with the current epoch marked in each.

import { createChart } from "./chart.js";
import { lineColor } from "./chart_lines.js";

// Returns `{update(data), setStep(step, comparedStep), destroy()}`.
//
// data = {steps: Int32Array, step, dark, groups: [{name, title, unit, range, description,
// lines: [{label, values: Float32Array, emphasis}]}], compare}; `range` is [low, high], of which
// either end may be null. `compare` is null or another run's {steps, groups, step, label}: its
// lines are dashed, in the chart of the group of the same name. `groups` may be left out where only
// `compare.step` is to be marked, and `step` and `label` may be left out too. `nameStep(step)` and
// `nameTick(step)` may say how steps are called. A click or drag in a chart calls `onStep(step)`.
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
  let charts = [];
  let drawn = null;
  const observer = new ResizeObserver(() => charts.forEach((chart) => chart.resize()));
  observer.observe(root);

  function setStep(step, comparedStep = null) {
    charts.forEach((chart) => chart.setStep(step, comparedStep));
  }

  function update(data) {
    // Drawing anew would end a drag, which goes on while its steps are shown.
    const wanted = fingerprint(data);
    if (wanted !== drawn) redraw(data);
    drawn = wanted;
    setStep(data.step, data.compare?.step);
  }

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

// Returns a text that is the same where the same is drawn, whatever the current steps are.
function fingerprint({ steps, groups, dark, compare, nameTick }) {
  const lines = (group) => group.lines.map((l) => [l.label, l.emphasis, checksum(l.values)]);
  const all = (own) => own?.map((group) => ({ ...group, lines: lines(group) }));
  const runs = [{ steps, groups }, compare ?? {}].map((run) => [
    [...(run.steps ?? [])],
    run.label,
    all(run.groups),
  ]);
  return JSON.stringify([runs, Boolean(dark), nameTick?.(steps[0])]);
}

// FNV-1a of the numbers' bits, so that arrays may be filled in place.
function checksum(values) {
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  return bits.reduce((sum, word) => Math.imul(sum ^ word, 16777619), 0x811c9dc5);
}

// Style sheets of their own files, because a page's security policy may forbid inline styles.
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

function viewOf(data, group, onStep) {
  const nameTick = data.nameTick ?? String;
  const nameStep = data.nameStep ?? ((step) => `epoch ${nameTick(step)}`);
  const other = data.compare?.groups?.find(({ name }) => name === group.name);
  const label = data.compare?.label ?? "compared run";
  const compare = other ? { steps: [...data.compare.steps], group: other, label } : null;
  return { steps: [...data.steps], compare, dark: Boolean(data.dark), nameStep, nameTick, onStep };
}

// Returns the entries that tell what colors and dashes mean, each once for all charts.
function keyOf(groups, { dark, compare }) {
  const ramps = new Map();
  const emphasized = new Set();
  for (const { lines } of groups) {
    const plain = lines.filter(({ emphasis }) => !emphasis);
    if (plain.length > 1) ramps.set(`${plain[0].label} ${plain.at(-1).label}`, plain);
    if (lines.length > 1) {
      lines.filter(({ emphasis }) => emphasis).forEach(({ label }) => emphasized.add(label));
    }
  }
  return [
    ...[...ramps.values()].map((lines) =>
      entry(lines[0].label, ramp(lines.length, dark), lines.at(-1).label),
    ),
    ...[...emphasized].map((label) => entry(stroke(""), label)),
    ...(compare?.groups ? [entry(stroke("compared"), compare.label ?? "compared run")] : []),
  ];
}

function entry(...parts) {
  const item = document.createElement("li");
  item.append(...parts);
  return item;
}

function stroke(className) {
  const line = document.createElement("i");
  line.className = className;
  return line;
}

function ramp(count, dark) {
  const canvas = document.createElement("canvas");
  canvas.width = count;
  canvas.height = 1;
  canvas.setAttribute("aria-hidden", "true");
  const context = canvas.getContext("2d");
  for (let index = 0; index < count; index += 1) {
    context.fillStyle = lineColor(index, count, dark);
    context.fillRect(index, 0, 1, 1);
  }
  return canvas;
}
