// @ts-check
/** The numbers, colors and words of line charts; nothing here touches the page. */

import { COLOR_MAPS } from "../lib/colormaps.js";

/** @typedef {{label: string, values: Float32Array, emphasis: boolean}} Line */

/**
 * The lines of one chart; either end of `range` may be open: null.
 * @typedef {Object} Group
 * @property {string} name
 * @property {string} title
 * @property {string} unit
 * @property {[number | null, number | null]} [range]
 * @property {string} [description]
 * @property {Line[]} lines
 */

/**
 * A line on the steps of two runs: its position among the `of` lines of its own run, and values
 * that are null where they are not numbers, and undefined where its run has no such step.
 * @typedef {Object} AlignedLine
 * @property {string} label
 * @property {boolean} emphasis
 * @property {boolean} compared whether it is of the compared run.
 * @property {number} position
 * @property {number} of
 * @property {(number | null | undefined)[]} values
 */

// The part of viridis that stands out from the background, and the color of what is emphasized.
const THEMES = {
  light: { ramp: [0, 145], emphasis: "#c2410c", text: "#5f6368", grid: "#e8eaed" },
  dark: { ramp: [115, 240], emphasis: "#ff922b", text: "#b0b5ba", grid: "#3c4043" },
};

/** @param {boolean} dark */
export function theme(dark) {
  return dark ? THEMES.dark : THEMES.light;
}

/**
 * Returns a CSS color for line `index` of `count`, from the first line's to the last one's.
 *
 * @param {number} index
 * @param {number} count
 * @param {boolean} dark
 */
export function lineColor(index, count, dark) {
  const [first, last] = theme(dark).ramp;
  const share = count > 1 ? index / (count - 1) : 0.5;
  const at = 3 * Math.round(first + share * (last - first));
  return `rgb(${COLOR_MAPS.viridis.slice(at, at + 3).join(",")})`;
}

/**
 * Returns the sorted steps of a group and of its counterpart of another run, and the lines of both
 * in the order they are drawn in: what is emphasized lies on top.
 *
 * @param {Group} group
 * @param {number[]} steps
 * @param {{group: Group, steps: number[]} | null} other
 * @returns {{steps: number[], lines: AlignedLine[]}}
 */
export function alignedLines(group, steps, other) {
  const all = [...new Set([...steps, ...(other?.steps ?? [])])].sort((a, b) => a - b);
  /** @type {(source: Group, ownSteps: number[], compared: boolean) => AlignedLine[]} */
  const align = (source, ownSteps, compared) =>
    source.lines.map(({ label, values, emphasis }, position) => {
      const own = new Map(
        ownSteps.map((step, i) => [step, Number.isFinite(values[i]) ? values[i] : null]),
      );
      const aligned = all.map((step) => own.get(step));
      const of = source.lines.length;
      return { label, emphasis: Boolean(emphasis), compared, position, of, values: aligned };
    });
  const lines = align(group, steps, false);
  const both = other ? [...align(other.group, other.steps, true), ...lines] : lines;
  return { steps: all, lines: both.sort((a, b) => Number(a.emphasis) - Number(b.emphasis)) };
}

/**
 * Returns `[low, high]` of the y axis: the ends that `range` gives, else those of the values with
 * a little room.
 *
 * @param {Group["range"]} range
 * @param {AlignedLine[]} lines
 * @returns {[number, number]}
 */
export function yRange(range, lines) {
  const [fixedLow, fixedHigh] = range ?? [null, null];
  const values = lines.flatMap((line) => line.values).filter((value) => value != null);
  const lowest = values.reduce((a, b) => Math.min(a, b), Infinity);
  const highest = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const none = values.length === 0;
  const low = fixedLow ?? (none ? (fixedHigh ?? 1) - 1 : lowest);
  const high = fixedHigh ?? (none ? low + 1 : highest);
  const room = high > low ? 0.06 * (high - low) : 0.1 * Math.abs(high) || 0.5;
  return [fixedLow ?? low - room, fixedHigh ?? Math.max(high, low) + room];
}

/**
 * Returns the indices of values that no line reaches, because both neighbors are missing.
 *
 * @param {ArrayLike<number | null | undefined>} all
 */
export function lonely(all) {
  const values = Array.from(all);
  const seen = values.flatMap((value, index) => (value === undefined ? [] : [index]));
  const missing = (/** @type {number | undefined} */ index) =>
    index === undefined || values[index] === null;
  return seen.filter(
    (index, at) => values[index] !== null && missing(seen[at - 1]) && missing(seen[at + 1]),
  );
}

/**
 * Returns how many decimals it takes to tell apart values that are `distance` from each other.
 *
 * @param {number} distance
 */
export function decimals(distance) {
  return Math.min(12, Math.max(0, Math.ceil(-Math.log10(distance))));
}

/**
 * Returns how many decimals all multiples of `distance`, a short number like 0.25, need.
 *
 * @param {number} distance
 */
export function decimalsOfTicks(distance) {
  let digits = 0;
  while (digits < 12 && Math.abs(distance - Number(distance.toFixed(digits))) > 1e-6 * distance) {
    digits += 1;
  }
  return digits;
}

/**
 * Returns a value in words.
 *
 * @param {number | null | undefined} value
 * @param {number} digits decimals.
 */
export function formatValue(value, digits) {
  if (value == null || !Number.isFinite(value)) return "no value";
  return value.toFixed(digits);
}

/**
 * Returns what a chart shows at one step in words: the text alternative of the picture.
 *
 * @param {Group} group
 * @param {AlignedLine[]} lines
 * @param {number | undefined} index of the step.
 * @param {number} digits decimals.
 * @param {string} stepName
 */
export function inWords(group, lines, index, digits, stepName) {
  const title = group.unit ? `${group.title} in ${group.unit}` : group.title;
  if (index === undefined) return `${title}: no values at ${stepName}`;
  const ordered = [...lines].sort(
    (a, b) => Number(a.compared) - Number(b.compared) || a.position - b.position,
  );
  const values = ordered.map(
    ({ label, compared, values }) =>
      `${label}${compared ? " of the compared run" : ""} ${formatValue(values[index], digits)}`,
  );
  return `${title} at ${stepName}: ${values.join(", ")}`;
}
