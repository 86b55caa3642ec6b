// @ts-check
/** The small multiples on a canvas: what they show, their bars, and for files their numbers. */

import { colorize, contextOf } from "../lib/paint.js";
import { isGate } from "../log/gates.js";
import { headsOf } from "../log/maps.js";
import { BAR, headCount } from "./head_grid_layout.js";

/** @import { Measure } from "../log/metrics.js" */
/** @import { WholeRecord } from "../log/references.js" */
/** @import { Run } from "../log/run.js" */
/** @import { State } from "../state/state.js" */
/** @import { HeadsLayout } from "./head_grid_layout.js" */

/**
 * The colors of small multiples: attention and gates have a limit each.
 * @typedef {Object} HeadsLook
 * @property {string} colors
 * @property {State["scale"]} scale
 * @property {number} limit
 * @property {number} gateLimit
 * @property {boolean} smooth
 */

/** @typedef {{values: Float32Array, others: number, highest: number}} HeadMap */

/**
 * What is drawn; with `other`, another record of heads, the maps are a difference.
 * @typedef {Object} Maps
 * @property {Run} run
 * @property {HeadMap[][]} maps of each layer, see `mapsOf`.
 * @property {WholeRecord | null} other
 * @property {boolean[]} frozen of each layer.
 * @property {Measure | null} measure that the bars show.
 * @property {HeadsLook} look
 */

const atlas = document.createElement("canvas");

/**
 * Returns each layer's maps: the mean of its heads, then they.
 *
 * @param {Run} run
 * @param {WholeRecord} record of heads.
 * @param {WholeRecord | null} other what is subtracted.
 * @returns {HeadMap[][]}
 */
export function mapsOf(run, record, other) {
  return run.setup.layers.map((each, layer) =>
    Array.from({ length: headCount(each) + 1 }, (_, column) => {
      const head = column ? column - 1 : null;
      const { values, others } = headsOf(run, record, layer, head);
      if (other) {
        const subtracted = headsOf(run, other, layer, head).values;
        for (let i = 0; i < values.length; i += 1) values[i] -= subtracted[i];
      }
      const highest = values.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-6);
      return { values, others, highest };
    }),
  );
}

/**
 * Draws the maps of a view.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} ratio pixels of the canvas to one of the layout.
 * @param {HeadsLayout} layout
 * @param {Maps} view
 */
export function drawHeads(canvas, ratio, layout, view) {
  const { run, maps, frozen, measure, look } = view;
  const [rows, columns] = run.setup.head_grid;
  colorAtlas(layout, view);
  const context = contextOf(canvas);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = look.smooth;
  const style = measure ? getComputedStyle(document.body) : null;
  const [track, bar] = ["--track", "--bar"].map((name) => style?.getPropertyValue(name) ?? "");
  maps.forEach((row, layer) =>
    row.forEach((_, column) => {
      const [x, y] = [layout.x(column), layout.y(layer)];
      const [left, top] = [column * (columns + 2) + 1, layer * (rows + 2) + 1];
      context.globalAlpha = frozen[layer] ? 0.55 : 1;
      context.drawImage(atlas, left, top, columns, rows, x, y, layout.width, layout.tall);
      context.globalAlpha = 1;
      if (!measure) return;
      const share = shareOf(measure, measure.at(layer, column ? column - 1 : null));
      context.fillStyle = track;
      context.fillRect(x, y + layout.tall + 1, layout.width, BAR - 2);
      if (share === null) return;
      context.fillStyle = bar;
      context.fillRect(x, y + layout.tall + 1, Math.max(1, layout.width * share), BAR - 2);
    }),
  );
}

/**
 * Puts all maps in their colors side by side, a pixel a cell, each in a frame of its own border:
 * what is drawn smoothly takes in the pixels next to it.
 *
 * @param {HeadsLayout} layout
 * @param {Maps} view
 */
function colorAtlas(layout, { run, maps, other, look, frozen }) {
  const [rows, columns] = run.setup.head_grid;
  const { layers } = run.setup;
  // Of attention and of gates, which have a scale each.
  const most = { attention: 0, gates: 0 };
  maps.forEach((row, layer) => {
    const kind = isGate(layers[layer]) ? "gates" : "attention";
    most[kind] = Math.max(most[kind], ...row.map(({ highest }) => highest));
  });
  const [width, height] = [(columns + 2) * (layout.columns + 1), (rows + 2) * maps.length];
  if (atlas.width !== width) atlas.width = width;
  if (atlas.height !== height) atlas.height = height;
  const painter = contextOf(atlas, { willReadFrequently: true });
  const image = painter.createImageData(width, height);
  const all = new Uint32Array(image.data.buffer);
  const pixels = new Uint32Array(rows * columns);
  maps.forEach((row, layer) =>
    row.forEach((map, column) => {
      const isOfGates = isGate(layers[layer]);
      const limit = isOfGates ? look.gateLimit : look.limit;
      const fixed = other ? limit / 2 : limit;
      const shared = isOfGates ? most.gates : most.attention;
      const high = { fixed, shared, image: map.highest }[look.scale];
      const colors = frozen[layer] && !other ? "gray" : look.colors;
      colorize(map.values, pixels, { colors, low: other ? -high : 0, high });
      for (let y = -1; y <= rows; y += 1) {
        const from = Math.min(rows - 1, Math.max(0, y)) * columns;
        const to = (layer * (rows + 2) + y + 1) * width + column * (columns + 2) + 1;
        all.set(pixels.subarray(from, from + columns), to);
        all[to - 1] = pixels[from];
        all[to + columns] = pixels[from + columns - 1];
      }
    }),
  );
  painter.putImageData(image, 0, 0);
}

/**
 * Returns how long a value's bar is, null where there is none.
 *
 * @param {Measure} measure
 * @param {number} value
 */
function shareOf({ low, high }, value) {
  if (!Number.isFinite(value) || high <= low) return null;
  return Math.min(1, Math.max(0, (value - low) / (high - low)));
}

/**
 * Returns what stands before a layer's name: whether it changed most, or not at all.
 *
 * @param {{changed: number | null, unchanged: (string | null)[]}} view
 * @param {number} layer
 */
export function markOf({ changed, unchanged }, layer) {
  if (layer === changed) return "◆ ";
  return unchanged[layer] ? "= " : "";
}

/**
 * Returns a canvas of a view with its numbers.
 *
 * @param {number} scale pixels of the canvas to one of the layout.
 * @param {string} color of the numbers.
 * @param {HeadsLayout} layout
 * @param {Parameters<typeof markOf>[0] & Omit<Maps, "maps"> & {maps: HeadMap[][] | null}} view
 */
export function headsPicture(scale, color, layout, view) {
  const canvas = document.createElement("canvas");
  const [width, height] = layout.total;
  Object.assign(canvas, { width: width * scale, height: height * scale });
  const { maps } = view;
  if (!maps) return canvas;
  drawHeads(canvas, scale, layout, { ...view, maps });
  const context = contextOf(canvas);
  Object.assign(context, {
    font: "11px system-ui, sans-serif",
    fillStyle: color,
    textBaseline: "middle",
    textAlign: "center",
  });
  for (let column = 0; column <= layout.columns && !layout.isAlone; column += 1) {
    const name = column ? String(column) : "mean";
    context.fillText(name, layout.x(column) + layout.width / 2, layout.top / 2);
  }
  context.textAlign = "right";
  const right = layout.label - 6;
  layout.names.forEach((name, layer) => {
    context.fillText(
      `${markOf(view, layer)}${name}`,
      right,
      layout.y(layer) + layout.tall / 2,
      right,
    );
  });
  return canvas;
}
