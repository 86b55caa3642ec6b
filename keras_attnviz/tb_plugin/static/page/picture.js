// @ts-check
/** A probe's picture with the heatmap over it, on a canvas. */

/** @import { ColorScale } from "../lib/paint.js" */
/** @import { AttentionMap } from "../log/maps.js" */
/** @import { Side } from "../state/resolve.js" */

/**
 * The colors of a heatmap: whether it is drawn smoothly, whether what is small is transparent,
 * whether `high` is the highest value that there can be, and whether values are absolute.
 * @typedef {ColorScale & {smooth: boolean, isFull: boolean, isAbsolute: boolean, fades?: boolean}}
 *     Look
 */

/**
 * What is drawn: `query` is the patch that asks, if one does.
 * @typedef {Object} Drawn
 * @property {HTMLCanvasElement} picture
 * @property {AttentionMap | null} map
 * @property {Look} look
 * @property {number} opacity
 * @property {number[] | null} query
 */

/**
 * Draws a picture in gray, the heatmap over it and the patch that asks into a part of a canvas.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {number} left
 * @param {number} top
 * @param {number} width
 * @param {number} height
 * @param {Drawn} view
 * @param {HTMLCanvasElement} heat the map in its colors.
 */
export function drawPicture(context, left, top, width, height, view, heat) {
  const { picture, map, look, opacity, query } = view;
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  context.imageSmoothingEnabled = true;
  context.drawImage(picture, left, top, width, height);
  if (map) {
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = look.smooth;
    context.drawImage(heat, left, top, width * map.span[1], height * map.span[0]);
  }
  context.restore();
  if (query && map) outline(context, left, top, width, height, query, map, 2.5);
}

/**
 * Outlines a patch in a part of a canvas.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {number} left
 * @param {number} top
 * @param {number} width
 * @param {number} height
 * @param {number[]} patch `[x, y]`
 * @param {AttentionMap} map
 * @param {number} thickness
 */
export function outline(context, left, top, width, height, [x, y], { grid, span }, thickness) {
  const wide = (width * span[1]) / grid[1];
  const tall = (height * span[0]) / grid[0];
  const ratio = window.devicePixelRatio || 1;
  context.strokeStyle = "rgba(0,0,0,.65)";
  context.lineWidth = (thickness + 2) * ratio;
  context.strokeRect(left + x * wide, top + y * tall, wide, tall);
  context.strokeStyle = "#fff";
  context.lineWidth = thickness * ratio;
  context.strokeRect(left + x * wide, top + y * tall, wide, tall);
}

/**
 * Returns a picture's height over its width, or before it is there its grid's, within bounds.
 *
 * @param {Side} side
 */
export function aspectOf({ run, picture }) {
  const [rows, columns] = run.setup.grid;
  return Math.min(3, Math.max(0.35, picture ? picture.height / picture.width : rows / columns));
}
