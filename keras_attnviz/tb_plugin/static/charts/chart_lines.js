// The numbers, colors and words of line charts; nothing here touches the page.

import { COLOR_MAPS } from "../lib/colormaps.js";

// The part of viridis that stands out from the background, and the color of what is emphasized.
const THEMES = {
  light: { ramp: [0, 145], emphasis: "#c2410c", text: "#5f6368", grid: "#e8eaed" },
  dark: { ramp: [115, 240], emphasis: "#ff922b", text: "#b0b5ba", grid: "#3c4043" },
};

export function theme(dark) {
  return dark ? THEMES.dark : THEMES.light;
}

// Returns a CSS color for line `index` of `count`, from the first line's to the last one's.
export function lineColor(index, count, dark) {
  const [first, last] = theme(dark).ramp;
  const share = count > 1 ? index / (count - 1) : 0.5;
  const at = 3 * Math.round(first + share * (last - first));
  return `rgb(${COLOR_MAPS.viridis.slice(at, at + 3).join(",")})`;
}

// Returns `{steps, lines}` of a group and its counterpart of another run, or null: sorted steps of
// both, and for each line `{label, emphasis, compared, position, of, values}`, in the order they
// are drawn in: what is emphasized lies on top. A value is null where it is not a number, and
// undefined where the line's own run has no such step.
export function alignedLines(group, steps, other, otherSteps) {
  const all = [...new Set([...steps, ...(other ? otherSteps : [])])].sort((a, b) => a - b);
  const place = new Map(all.map((step, index) => [step, index]));
  const align = (source, ownSteps, compared) =>
    source.lines.map(({ label, values, emphasis }, position) => {
      const aligned = new Array(all.length).fill(undefined);
      ownSteps.forEach((step, index) => {
        aligned[place.get(step)] = Number.isFinite(values[index]) ? values[index] : null;
      });
      const of = source.lines.length;
      return { label, emphasis: Boolean(emphasis), compared, position, of, values: aligned };
    });
  const lines = align(group, steps, false);
  const both = other ? [...align(other, otherSteps, true), ...lines] : lines;
  return { steps: all, lines: both.sort((a, b) => a.emphasis - b.emphasis) };
}

// Returns [low, high] of the y axis: the ends that `range` gives, else those of the values with
// a little room.
export function yRange(range, lines) {
  const [fixedLow, fixedHigh] = range ?? [null, null];
  const values = lines.flatMap((line) => line.values.filter((value) => value != null));
  const lowest = values.reduce((a, b) => Math.min(a, b), Infinity);
  const highest = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const none = values.length === 0;
  const low = fixedLow ?? (none ? (fixedHigh ?? 1) - 1 : lowest);
  const high = fixedHigh ?? (none ? low + 1 : highest);
  const room = high > low ? 0.06 * (high - low) : 0.1 * Math.abs(high) || 0.5;
  return [fixedLow ?? low - room, fixedHigh ?? Math.max(high, low) + room];
}

// Returns the indices of values that no line reaches, because both neighbors are missing.
export function lonely(values) {
  const seen = values.flatMap((value, index) => (value === undefined ? [] : [index]));
  const missing = (index) => index === undefined || values[index] === null;
  return seen.filter(
    (index, at) => values[index] !== null && missing(seen[at - 1]) && missing(seen[at + 1]),
  );
}

// Returns how many decimals tell values apart that are `distance` from each other.
export function decimals(distance) {
  return Math.min(12, Math.max(0, Math.ceil(-Math.log10(distance))));
}

// Returns how many decimals all multiples of `distance`, a short number like 0.25, need.
export function decimalsOfTicks(distance) {
  let digits = 0;
  while (digits < 12 && Math.abs(distance - Number(distance.toFixed(digits))) > 1e-6 * distance) {
    digits += 1;
  }
  return digits;
}

export function formatValue(value, digits) {
  if (value == null || !Number.isFinite(value)) return "no value";
  return value.toFixed(digits);
}

// Returns what a chart shows at one step in words: the text alternative of the picture.
export function inWords(group, lines, index, digits, stepName) {
  const title = group.unit ? `${group.title} in ${group.unit}` : group.title;
  if (index === undefined) return `${title}: no values at ${stepName}`;
  const ordered = [...lines].sort((a, b) => a.compared - b.compared || a.position - b.position);
  const values = ordered.map(
    ({ label, compared, values }) =>
      `${label}${compared ? " of the compared run" : ""} ${formatValue(values[index], digits)}`,
  );
  return `${title} at ${stepName}: ${values.join(", ")}`;
}
