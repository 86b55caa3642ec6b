// @ts-check
/** How uPlot is to draw a chart: axes, ticks, and each line's color and width. */

import { decimalsOfTicks, formatValue, lineColor, lonely, theme } from "./chart_lines.js";

/** @import uPlot from "uplot" */
/** @import { AlignedLine } from "./chart_lines.js" */

/**
 * What is drawn: the steps of both runs, their lines, the ends of the y axis, and how steps are
 * called.
 * @typedef {Object} Charted
 * @property {number[]} steps
 * @property {AlignedLine[]} lines
 * @property {[number, number]} ends
 * @property {{dark: boolean, nameTick: (step: number) => string}} view
 */

const WHOLE_STEPS = [1, 2, 5].flatMap((n) => [0, 1, 2, 3, 4].map((power) => n * 10 ** power));
WHOLE_STEPS.sort((a, b) => a - b);
const Y_AXIS_WIDTH = 44;

/**
 * Returns uPlot's options.
 *
 * @param {Charted} chart
 * @param {{draw: () => void, hover: () => void}} hooks called when it is drawn, and when the
 *     pointer moves.
 * @returns {Omit<uPlot.Options, "width" | "height">}
 */
export function plotOptions(chart, { draw, hover }) {
  const { lines, view, steps } = chart;
  const { text, grid } = theme(view.dark);
  const last = steps[steps.length - 1];
  /** @type {[number, number]} */
  const ends = steps.length > 1 ? [steps[0], last] : [steps[0] - 0.5, steps[0] + 0.5];
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
        splits: (_plot, _axis, low, high, distance) => roundTicks(chart, low, high, distance),
        grid: { show: false },
        values: (_, ticks) => ticks.map((tick) => (steps.length > 1 ? view.nameTick(tick) : "")),
      },
      {
        ...axis,
        size: Y_AXIS_WIDTH,
        gap: 6,
        space: 28,
        grid: { stroke: grid, width: 1 },
        values: (_plot, ticks, _axis, _space, distance) =>
          ticks.map((tick) => formatValue(tick, decimalsOfTicks(distance))),
      },
    ],
    series: [{}, ...lines.map((line) => series(line, lines, view.dark))],
    hooks: { draw: [draw], setCursor: [hover] },
  };
}

/**
 * Returns the steps whose names are multiples of `distance`, for names that count from 1, say.
 *
 * @param {Charted} chart
 * @param {number} low
 * @param {number} high
 * @param {number} distance
 */
function roundTicks({ steps, view }, low, high, distance) {
  const last = steps[steps.length - 1];
  const offset = Number(view.nameTick(last)) - last || 0;
  const first = Math.ceil((low + offset) / distance) * distance - offset;
  const count = Math.max(0, Math.floor((high - first) / distance) + 1);
  return Array.from({ length: count }, (_, i) => first + i * distance);
}

/**
 * Returns uPlot's settings of a line.
 *
 * @param {AlignedLine} line
 * @param {AlignedLine[]} lines
 * @param {boolean} dark
 * @returns {uPlot.Series}
 */
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

/**
 * A line alone is as strong as an emphasized one.
 *
 * @param {AlignedLine} line
 * @param {AlignedLine[]} lines
 */
export function isStrong(line, lines) {
  return line.emphasis || lines.filter(({ compared }) => compared === line.compared).length === 1;
}

/**
 * @param {AlignedLine} line
 * @param {AlignedLine[]} lines
 * @param {boolean} dark
 */
export function colorOf(line, lines, dark) {
  if (isStrong(line, lines)) return theme(dark).emphasis;
  return lineColor(line.position, line.of, dark);
}
