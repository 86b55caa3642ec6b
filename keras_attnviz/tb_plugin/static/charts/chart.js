// One line chart: lines over epochs, the current one marked, the nearest line under the pointer.

import uPlot from "../vendor/uPlot.esm.js";
import {
  alignedLines,
  decimals,
  decimalsOfTicks,
  formatValue,
  inWords,
  lineColor,
  lonely,
  theme,
  yRange,
} from "./chart_lines.js";

const WHOLE_STEPS = [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4].map((power) => n * 10 ** power));
WHOLE_STEPS.sort((a, b) => a - b);
const Y_AXIS_WIDTH = 44;

// Returns `{element, setStep(step, comparedStep), resize(), destroy()}`.
// `view` is `{steps, compare, dark, nameStep, nameTick, onStep}`; `compare` is null or
// `{steps, group, label}`.
export function createChart(group, view) {
  const { steps, lines } = alignedLines(
    group,
    view.steps,
    view.compare?.group,
    view.compare?.steps,
  );
  const parts = figure(group);
  const chart = { group, view, steps, lines, parts, at: new Map(steps.map((s, i) => [s, i])) };
  chart.ends = yRange(group.range, lines);
  chart.digits = decimals((chart.ends[1] - chart.ends[0]) / 50);
  chart.step = view.steps[0];
  chart.hovered = null;
  return {
    element: parts.figure,
    setStep: (step, comparedStep) => setStep(chart, step, comparedStep),
    resize: () => resize(chart),
    destroy: () => chart.plot?.destroy(),
  };
}

function figure({ title, unit, description }) {
  const add = (parent, name, className, text = "") => {
    const element = document.createElement(name);
    element.className = className;
    element.textContent = text;
    parent.append(element);
    return element;
  };
  const root = document.createElement("figure");
  root.className = "attention-chart";
  const caption = add(root, "figcaption", "");
  const heading = add(caption, "span", "attention-chart-title", title);
  heading.title = title;
  if (unit) add(heading, "span", "attention-chart-unit", ` ${unit}`);
  const current = add(caption, "span", "attention-chart-current");
  const about = add(caption, "span", "attention-chart-description", description ?? "");
  if (description) about.title = description;
  const hovered = add(caption, "span", "attention-chart-hovered");
  const plot = add(root, "div", "attention-chart-plot");
  plot.setAttribute("role", "img");
  return { figure: root, current, about, hovered, plot, add };
}

// The plot is made only when its width is known.
function resize(chart) {
  const { clientWidth: width, clientHeight: height } = chart.parts.plot;
  if (width === 0 || height === 0) return;
  if (chart.plot) {
    if (chart.plot.width !== width || chart.plot.height !== height) {
      chart.plot.setSize({ width, height });
    }
    return;
  }
  chart.plot = new uPlot(
    { ...options(chart), width, height },
    [chart.steps, ...chart.lines.map((line) => line.values)],
    chart.parts.plot,
  );
  const { add } = chart.parts;
  chart.comparedMarker = add(chart.plot.over, "div", "attention-chart-marker compared");
  chart.marker = add(chart.plot.over, "div", "attention-chart-marker");
  chart.dot = add(chart.plot.over, "div", "attention-chart-dot");
  followPointer(chart);
  show(chart);
}

function options(chart) {
  const { lines, view, steps } = chart;
  const { text, grid } = theme(view.dark);
  const ends = steps.length > 1 ? [steps[0], steps.at(-1)] : [steps[0] - 0.5, steps[0] + 0.5];
  const axis = { stroke: text, font: "11px system-ui, sans-serif", ticks: { show: false } };
  return {
    legend: { show: false },
    padding: [6, 12, 0, 0],
    focus: { alpha: 0.3 },
    cursor: {
      y: false,
      drag: { x: false, y: false, setScale: false },
      points: { show: false },
      bind: { dblclick: () => null },
    },
    scales: {
      x: { time: false, range: () => ends },
      y: { range: () => chart.ends },
    },
    axes: [
      {
        ...axis,
        size: 22,
        gap: 4,
        space: 44,
        incrs: WHOLE_STEPS,
        splits: (_, axisIndex, low, high, distance) => roundTicks(chart, low, high, distance),
        grid: { show: false },
        values: (_, ticks) => ticks.map((tick) => (steps.length > 1 ? view.nameTick(tick) : "")),
      },
      {
        ...axis,
        size: Y_AXIS_WIDTH,
        gap: 6,
        space: 28,
        grid: { stroke: grid, width: 1 },
        values: (_, ticks, axis, space, distance) =>
          ticks.map((tick) => formatValue(tick, decimalsOfTicks(distance))),
      },
    ],
    series: [{}, ...lines.map((line) => series(line, lines, view.dark))],
    hooks: { draw: [() => show(chart)], setCursor: [() => hover(chart)] },
  };
}

// Returns the steps whose names are multiples of `distance`, for names that count from 1, say.
function roundTicks({ steps, view }, low, high, distance) {
  const offset = Number(view.nameTick(steps.at(-1))) - steps.at(-1) || 0;
  const first = Math.ceil((low + offset) / distance) * distance - offset;
  const count = Math.max(0, Math.floor((high - first) / distance) + 1);
  return Array.from({ length: count }, (_, i) => first + i * distance);
}

function series(line, lines, dark) {
  const color = colorOf(line, lines, dark);
  const strong = isStrong(line, lines);
  return {
    label: line.label,
    stroke: color,
    width: strong ? 2.5 : 1,
    dash: line.compared ? [4, 3] : undefined,
    points: {
      size: strong ? 7 : 5,
      fill: color,
      stroke: color,
      show: true,
      filter: (plot, index) => lonely(plot.data[index]),
    },
  };
}

// A line alone is as strong as an emphasized one.
function isStrong(line, lines) {
  return line.emphasis || lines.filter(({ compared }) => compared === line.compared).length === 1;
}

function colorOf(line, lines, dark) {
  if (isStrong(line, lines)) return theme(dark).emphasis;
  return lineColor(line.position, line.of, dark);
}

function setStep(chart, step, comparedStep = null) {
  chart.step = step;
  chart.comparedStep = comparedStep;
  show(chart);
}

// Puts markers, readout and text alternative where the current step is; draws no line anew.
function show(chart) {
  const { plot, parts, lines, view, step } = chart;
  const index = chart.at.get(step);
  const words = inWords(chart.group, lines, index, chart.digits, view.nameStep(step));
  parts.plot.setAttribute("aria-label", words);
  if (plot) {
    move(chart.marker, plot, step);
    move(chart.comparedMarker, plot, chart.comparedStep);
  }
  readOut(chart, index);
}

function move(element, plot, step, value = null) {
  element.hidden = step == null;
  if (step == null) return;
  const top = value === null ? 0 : plot.valToPos(value, "y");
  element.style.transform = `translate(${plot.valToPos(step, "x")}px, ${top}px)`;
}

// Tells the emphasized line at the current step and, in place of the description, the line under
// the pointer. The dot stands on the one told last.
function readOut(chart, currentIndex) {
  const { hovered, parts } = chart;
  const told = hovered ?? { line: strongLine(chart, false), index: currentIndex };
  parts.current.textContent = currentValue(chart, currentIndex);
  parts.current.classList.toggle("emphasis", valueOf(told) != null && !hovered);
  parts.about.hidden = hovered !== null;
  parts.hovered.hidden = hovered === null;
  parts.hovered.textContent = hovered ? hoveredValue(chart) : "";
  parts.hovered.title = parts.hovered.textContent;
  if (!chart.plot) return;
  const value = valueOf(told) ?? null;
  move(chart.dot, chart.plot, value === null ? null : chart.steps[told.index], value);
  if (told.line) chart.dot.style.background = colorOf(told.line, chart.lines, chart.view.dark);
}

function valueOf({ line, index }) {
  return line && index !== undefined ? line.values[index] : undefined;
}

function strongLine({ lines }, compared) {
  return lines.find((line) => line.compared === compared && isStrong(line, lines));
}

// Returns for example "layer 7: 0.82", and "0.82 vs 0.79" next to another run.
function currentValue(chart, index) {
  const line = strongLine(chart, false);
  if (!line) return "";
  const other = strongLine(chart, true);
  const otherIndex = chart.at.get(chart.comparedStep ?? chart.step);
  const name = line.of > 1 ? `${line.label}: ` : "";
  const value = formatValue(valueOf({ line, index }), chart.digits);
  const otherValue = formatValue(valueOf({ line: other, index: otherIndex }), chart.digits);
  return other && value !== otherValue ? `${name}${value} vs ${otherValue}` : name + value;
}

// Returns for example "epoch 5 · layer 7: 0.82".
function hoveredValue({ hovered, view, steps, digits }) {
  const { line, index } = hovered;
  const run = line.compared ? `${view.compare.label} · ` : "";
  const value = formatValue(line.values[index], digits);
  return `${view.nameStep(steps[index])} · ${run}${line.label}: ${value}`;
}

function hover(chart) {
  const { plot, lines } = chart;
  const { left, top, idx: index } = plot.cursor;
  const before = chart.hovered?.line ?? null;
  chart.hovered = null;
  if (left >= 0 && index != null) {
    const far = (line) => Math.abs(plot.valToPos(line.values[index], "y") - top);
    const there = lines.filter((line) => line.values[index] != null);
    const line = there.reduce((a, b) => (a === null || far(b) <= far(a) ? b : a), null);
    if (line) chart.hovered = { line, index };
  }
  const now = chart.hovered?.line ?? null;
  if (now !== before) {
    plot.setSeries(now ? 1 + lines.indexOf(now) : null, { focus: now !== null });
  }
  readOut(chart, chart.at.get(chart.step));
}

// A click, or dragging, asks for the nearest step of the chart's own run.
function followPointer(chart) {
  const { over } = chart.plot;
  const ask = (event) => {
    const x = chart.plot.posToVal(event.clientX - over.getBoundingClientRect().left, "x");
    const step = nearest(chart.view.steps, x);
    if (step !== chart.step) chart.view.onStep(step);
  };
  over.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    over.setPointerCapture(event.pointerId);
    ask(event);
  });
  over.addEventListener("pointermove", (event) => {
    if (over.hasPointerCapture(event.pointerId)) ask(event);
  });
}

function nearest(steps, x) {
  return steps.reduce((a, b) => (Math.abs(b - x) < Math.abs(a - x) ? b : a));
}
