// @ts-check
/** Values to pixels: color tables, heatmaps, color limits and their ticks. */

import { COLOR_MAPS, DEFAULT_MAP, DIFFERENCE_MAP } from "./colormaps.js";

const SMOOTH_CELLS = 224;
/** @type {Map<string, Uint32Array>} */
const tables = new Map();

/**
 * A map of values, row by row, and its grid `[rows, columns]`.
 * @typedef {{values: Float32Array, grid: number[]}} Cells
 */

/**
 * Which colors values get: those of the map `colors` from `low` to `high`.
 * @typedef {{colors: string, low: number, high: number}} ColorScale
 */

/** The names of the color maps for attention; the diverging one is for differences. */
export const MAP_NAMES = Object.keys(COLOR_MAPS).filter((name) => name !== DIFFERENCE_MAP);
export { DIFFERENCE_MAP };

/**
 * Returns 256 colors, each as a pixel of an ImageData seen as Uint32Array.
 *
 * @param {string} name of a color map.
 * @returns {Uint32Array}
 */
export function colorTable(name) {
  const known = tables.get(name);
  if (known) return known;
  const colors = COLOR_MAPS[name] ?? COLOR_MAPS[DEFAULT_MAP];
  const table = new Uint32Array(256);
  const bytes = new Uint8ClampedArray(table.buffer);
  for (let i = 0; i < 256; i += 1) bytes.set([...colors.subarray(3 * i, 3 * i + 3), 255], 4 * i);
  tables.set(name, table);
  return table;
}

/**
 * Returns a canvas's context in two dimensions; a browser without one can't show the page.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {CanvasRenderingContext2DSettings} [settings]
 * @returns {CanvasRenderingContext2D}
 */
export function contextOf(canvas, settings) {
  const context = canvas.getContext("2d", settings);
  if (!context) throw new Error("This browser can't draw on a canvas.");
  return context;
}

/**
 * Draws a map of values into a canvas, one pixel a cell or, if smooth, more of them.
 *
 * @param {HTMLCanvasElement} canvas whose size is set.
 * @param {Cells} map
 * @param {ColorScale & {smooth: boolean, fades?: boolean}} look where it fades, what is small is
 *     transparent.
 */
export function paintMap(canvas, { values, grid }, { colors, low, high, smooth, fades }) {
  const [rows, columns] = grid;
  const factor = smooth ? Math.max(1, Math.floor(SMOOTH_CELLS / Math.max(rows, columns))) : 1;
  const [width, height] = [columns * factor, rows * factor];
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const context = contextOf(canvas, { willReadFrequently: true });
  const image = context.createImageData(width, height);
  const shown = factor > 1 ? enlarge(values, rows, columns, factor) : values;
  colorize(shown, new Uint32Array(image.data.buffer), { colors, low, high });
  if (fades) {
    for (let i = 0; i < shown.length; i += 1) {
      image.data[4 * i + 3] = 255 * Math.sqrt(Math.min(1, Math.abs(shown[i]) / high));
    }
  }
  context.putImageData(image, 0, 0);
}

/**
 * Fills pixels with the colors of values.
 *
 * @param {Float32Array} values
 * @param {Uint32Array} pixels as many.
 * @param {ColorScale} scale
 */
export function colorize(values, pixels, { colors, low, high }) {
  const table = colorTable(colors);
  const scale = high > low ? 255.999 / (high - low) : 0;
  for (let i = 0; i < values.length; i += 1) {
    const code = (values[i] - low) * scale;
    pixels[i] = table[code > 255 ? 255 : code > 0 ? code | 0 : 0];
  }
}

/**
 * Returns values interpolated bilinearly between the cells' centers, by a whole factor.
 *
 * @param {Float32Array} values `[rows * columns]`
 * @param {number} rows
 * @param {number} columns
 * @param {number} factor
 * @returns {Float32Array} `[rows * factor * columns * factor]`
 */
export function enlarge(values, rows, columns, factor) {
  const across = weights(columns, factor);
  const down = weights(rows, factor);
  const wide = new Float32Array(rows * columns * factor);
  const width = columns * factor;
  for (let y = 0; y < rows; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const [from, to, share] = [across.from[x], across.to[x], across.share[x]];
      const begin = y * columns;
      wide[y * width + x] = values[begin + from] * (1 - share) + values[begin + to] * share;
    }
  }
  const out = new Float32Array(width * rows * factor);
  for (let y = 0; y < rows * factor; y += 1) {
    const [from, to, share] = [down.from[y] * width, down.to[y] * width, down.share[y]];
    for (let x = 0; x < width; x += 1) {
      out[y * width + x] = wide[from + x] * (1 - share) + wide[to + x] * share;
    }
  }
  return out;
}

/**
 * Returns for each pixel the two cells that it lies between, and the share of the second.
 *
 * @param {number} count of cells.
 * @param {number} factor pixels a cell.
 */
function weights(count, factor) {
  const from = new Int32Array(count * factor);
  const to = new Int32Array(count * factor);
  const share = new Float32Array(count * factor);
  for (let i = 0; i < count * factor; i += 1) {
    const place = Math.min(count - 1, Math.max(0, (i + 0.5) / factor - 0.5));
    from[i] = Math.floor(place);
    to[i] = Math.min(count - 1, from[i] + 1);
    share[i] = place - from[i];
  }
  return { from, to, share };
}

/**
 * Returns the highest of some values' magnitudes, at least a little above 0.
 *
 * @param {...(Cells | null)} maps
 * @returns {number}
 */
export function highest(...maps) {
  let most = 1e-6;
  for (const map of maps) {
    if (map) for (const value of map.values) if (Math.abs(value) > most) most = Math.abs(value);
  }
  return most;
}

/**
 * Returns round numbers between two others.
 *
 * @param {number} low
 * @param {number} high
 * @param {number} count about how many.
 * @returns {number[]}
 */
export function ticks(low, high, count = 4) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 2.5, 5].find((each) => each * power >= rough * 0.999) ?? 10) * power;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1)
    found.push(i * step);
  return found;
}
