// @ts-check
/** One line chart: lines over epochs, the current one marked, the nearest line under the pointer. */

import uPlotModule from "../vendor/uPlot.esm.js";
import { alignedLines, decimals, formatValue, inWords, yRange } from "./chart_lines.js";
import { colorOf, isStrong, plotOptions } from "./chart_options.js";

// The vendored module has no types; those are in its package.
const UPlot = /** @type {typeof uPlot} */ (/** @type {unknown} */ (uPlotModule));

/** @import uPlot from "uplot" */
/** @import { AlignedLine, Group } from "./chart_lines.js" */

/**
 * How a chart is shown: the steps of its own run, another run, and how steps are called.
 * @typedef {Object} ChartView
 * @property {number[]} steps
 * @property {{steps: number[], group: Group, label: string} | null} compare
 * @property {boolean} dark
 * @property {(step: number) => string} nameStep
 * @property {(step: number) => string} nameTick
 * @property {(step: number) => void} onStep
 */

/**
 * @typedef {Object} Chart
 * @property {HTMLElement} element
 * @property {(step: number, comparedStep?: number | null) => void} setStep
 * @property {() => void} resize
 * @property {() => void} destroy
 */

/**
 * The plot, and what lies on it.
 * @typedef {Object} Plot
 * @property {uPlot} uplot
 * @property {HTMLElement} comparedMarker
 * @property {HTMLElement} marker
 * @property {HTMLElement} dot
 */

/** @typedef {{line: AlignedLine | undefined, index: number | undefined}} Point */

/**
 * @typedef {Object} State
 * @property {Group} group
 * @property {ChartView} view
 * @property {number[]} steps of both runs.
 * @property {AlignedLine[]} lines
 * @property {ReturnType<typeof figure>} parts
 * @property {Map<number, number>} at index of each step.
 * @property {[number, number]} ends of the y axis.
 * @property {number} digits decimals.
 * @property {number} step
 * @property {number | null} comparedStep
 * @property {{line: AlignedLine, index: number} | null} hovered
 * @property {Plot | null} plot null until its width is known.
 */

/**
 * Returns a chart.
 *
 * @param {Group} group
 * @param {ChartView} view
 * @returns {Chart}
 */
export function createChart(group, view) {
  const { steps, lines } = alignedLines(group, view.steps, view.compare);
  const parts = figure(group);
  const ends = yRange(group.range, lines);
  /** @type {State} */
  const chart = {
    group,
    view,
    steps,
    lines,
    parts,
    at: new Map(steps.map((step, index) => [step, index])),
    ends,
    digits: decimals((ends[1] - ends[0]) / 50),
    step: view.steps[0],
    comparedStep: null,
    hovered: null,
    plot: null,
  };
  return {
    element: parts.figure,
    setStep: (step, comparedStep = null) => {
      Object.assign(chart, { step, comparedStep });
      show(chart);
    },
    resize: () => resize(chart),
    destroy: () => chart.plot?.uplot.destroy(),
  };
}

/**
 * Appends an element.
 *
 * @param {Element} parent
 * @param {string} name
 * @param {string} className
 * @param {string} [text]
 */
function add(parent, name, className, text = "") {
  const element = document.createElement(name);
  element.className = className;
  element.textContent = text;
  parent.append(element);
  return element;
}

/**
 * Returns a chart's elements.
 *
 * @param {Group} group
 */
function figure({ title, unit, description }) {
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
  return { figure: root, current, about, hovered, plot };
}

/**
 * Fits the plot into its box; makes it when its width is known.
 *
 * @param {State} chart
 */
function resize(chart) {
  const { clientWidth: width, clientHeight: height } = chart.parts.plot;
  if (width === 0 || height === 0) return;
  if (chart.plot) {
    const { uplot } = chart.plot;
    if (uplot.width !== width || uplot.height !== height) uplot.setSize({ width, height });
    return;
  }
  const hooks = { draw: () => show(chart), hover: () => hover(chart) };
  const uplot = new UPlot(
    { ...plotOptions(chart, hooks), width, height },
    [chart.steps, ...chart.lines.map((line) => line.values)],
    chart.parts.plot,
  );
  chart.plot = {
    uplot,
    comparedMarker: add(uplot.over, "div", "attention-chart-marker compared"),
    marker: add(uplot.over, "div", "attention-chart-marker"),
    dot: add(uplot.over, "div", "attention-chart-dot"),
  };
  followPointer(chart, uplot);
  show(chart);
}

/**
 * Puts markers, read-out and text alternative where the current step is; draws no line anew.
 *
 * @param {State} chart
 */
function show(chart) {
  const { plot, parts, lines, view, step } = chart;
  const index = chart.at.get(step);
  const words = inWords(chart.group, lines, index, chart.digits, view.nameStep(step));
  parts.plot.setAttribute("aria-label", words);
  if (plot) {
    move(plot.marker, plot.uplot, step);
    move(plot.comparedMarker, plot.uplot, chart.comparedStep);
  }
  readOut(chart, index);
}

/**
 * @param {HTMLElement} element
 * @param {uPlot} uplot
 * @param {number | null} step null: nowhere.
 * @param {number | null} [value] null: at the top.
 */
function move(element, uplot, step, value = null) {
  element.hidden = step === null;
  if (step === null) return;
  const top = value === null ? 0 : uplot.valToPos(value, "y");
  element.style.transform = `translate(${uplot.valToPos(step, "x")}px, ${top}px)`;
}

/**
 * Says the emphasized line at the current step and, in place of the description, the line under
 * the pointer. The dot stands on the latter or, without a pointer, on the former.
 *
 * @param {State} chart
 * @param {number | undefined} currentIndex
 */
function readOut(chart, currentIndex) {
  const { hovered, parts, plot } = chart;
  /** @type {Point} */
  const point = hovered ?? { line: strongLine(chart, false), index: currentIndex };
  parts.current.textContent = currentValue(chart, currentIndex);
  parts.current.classList.toggle("emphasis", pointValue(point) != null && !hovered);
  parts.about.hidden = hovered !== null;
  parts.hovered.hidden = hovered === null;
  parts.hovered.textContent = hovered ? hoveredValue(chart, hovered) : "";
  parts.hovered.title = parts.hovered.textContent;
  if (!plot) return;
  const value = pointValue(point) ?? null;
  const step = value === null || point.index === undefined ? null : chart.steps[point.index];
  move(plot.dot, plot.uplot, step, value);
  if (point.line) plot.dot.style.background = colorOf(point.line, chart.lines, chart.view.dark);
}

/** @param {Point} point */
function pointValue({ line, index }) {
  return line && index !== undefined ? line.values[index] : undefined;
}

/**
 * @param {State} chart
 * @param {boolean} compared
 */
function strongLine({ lines }, compared) {
  return lines.find((line) => line.compared === compared && isStrong(line, lines));
}

/**
 * Returns for example "layer 7: 0.82", and "0.82 vs 0.79" next to another run.
 *
 * @param {State} chart
 * @param {number | undefined} index
 */
function currentValue(chart, index) {
  const line = strongLine(chart, false);
  if (!line) return "";
  const other = strongLine(chart, true);
  const otherIndex = chart.at.get(chart.comparedStep ?? chart.step);
  const name = line.of > 1 ? `${line.label}: ` : "";
  const value = formatValue(pointValue({ line, index }), chart.digits);
  const otherValue = formatValue(pointValue({ line: other, index: otherIndex }), chart.digits);
  return other && value !== otherValue ? `${name}${value} vs ${otherValue}` : name + value;
}

/**
 * Returns for example "epoch 5 · layer 7: 0.82".
 *
 * @param {State} chart
 * @param {{line: AlignedLine, index: number}} point
 */
function hoveredValue({ view, steps, digits }, { line, index }) {
  const run = line.compared && view.compare ? `${view.compare.label} · ` : "";
  const value = formatValue(line.values[index], digits);
  return `${view.nameStep(steps[index])} · ${run}${line.label}: ${value}`;
}

/** @param {State} chart */
function hover(chart) {
  const { plot, lines } = chart;
  if (!plot) return;
  const before = chart.hovered?.line ?? null;
  chart.hovered = pointNear(plot.uplot, lines);
  const now = chart.hovered?.line ?? null;
  if (now !== before) {
    plot.uplot.setSeries(now ? 1 + lines.indexOf(now) : null, { focus: now !== null });
  }
  readOut(chart, chart.at.get(chart.step));
}

/**
 * Returns the value next to the pointer, or null; of lines on one another that drawn last.
 *
 * @param {uPlot} uplot
 * @param {AlignedLine[]} lines
 */
function pointNear(uplot, lines) {
  const { left = -1, top = 0, idx: index } = uplot.cursor;
  if (left < 0 || index == null) return null;
  /** @type {{line: AlignedLine, index: number} | null} */
  let nearest = null;
  let least = Infinity;
  for (const line of lines) {
    const value = line.values[index];
    if (value == null) continue;
    const far = Math.abs(uplot.valToPos(value, "y") - top);
    if (far <= least) [nearest, least] = [{ line, index }, far];
  }
  return nearest;
}

/**
 * A click, or dragging, asks for the nearest step of the chart's own run.
 *
 * @param {State} chart
 * @param {uPlot} uplot
 */
function followPointer(chart, uplot) {
  const { over } = uplot;
  const ask = (/** @type {PointerEvent} */ event) => {
    const x = uplot.posToVal(event.clientX - over.getBoundingClientRect().left, "x");
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

/**
 * @param {number[]} steps
 * @param {number} x
 */
function nearest(steps, x) {
  return steps.reduce((a, b) => (Math.abs(b - x) < Math.abs(a - x) ? b : a));
}
