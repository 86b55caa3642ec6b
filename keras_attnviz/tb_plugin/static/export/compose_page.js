// @ts-check
/** What is on screen as one picture, for PNG files and films. */

import { el } from "../lib/dom.js";
import { colorTable, contextOf, paintMap } from "../lib/paint.js";
import { colorTicks } from "../page/color_ticks.js";
import { drawPicture } from "../page/picture.js";

/** @import { Drawn } from "../page/picture.js" */

/**
 * A picture's pane: its words, and what is drawn.
 * @typedef {Drawn & {heading: string, detail: string, unit: string}} Pane
 */

/**
 * What is composed.
 * @typedef {Object} Page
 * @property {string} title
 * @property {string} subtitle
 * @property {Pane[]} panes one at least.
 * @property {HTMLCanvasElement[]} heads beside one pane or below several.
 * @property {boolean} dark
 * @property {number} width of a pane.
 */

/** @typedef {{paper: string, ink: string, muted: string}} Paint */

/** @type {{light: Paint, dark: Paint}} */
const PAINTS = {
  light: { paper: "#ffffff", ink: "#202124", muted: "#5f6368" },
  dark: { paper: "#303030", ink: "#f1f3f4", muted: "#b4b8bd" },
};

const MARGIN = 24;
const FONT = "system-ui, 'Segoe UI', Roboto, sans-serif";

/**
 * Returns a canvas with the panes side by side, their titles and color bars, and the heads.
 *
 * @param {Page} page
 */
export function composePage({ title, subtitle, panes, heads, dark, width }) {
  const paint = dark ? PAINTS.dark : PAINTS.light;
  const { picture } = panes[0];
  const height = Math.round((width * picture.height) / picture.width);
  const isBeside = heads.length === 1;
  const fit = (/** @type {HTMLCanvasElement} */ each) =>
    isBeside ? (height + 44) / each.height : width / each.width;
  const scale = Math.min(...heads.map(fit));
  const [headsWidth, headsHeight] = heads.length
    ? [heads[0].width * scale, Math.max(...heads.map((each) => each.height)) * scale]
    : [0, 0];
  const top = MARGIN + 58;
  const bottom = top + 44 + height + 58;
  const total = panes.length * (width + MARGIN) + MARGIN + (isBeside ? headsWidth + MARGIN : 0);
  const canvas = el("canvas", {
    width: even(Math.max(total, 480)),
    height: even(bottom + (heads.length && !isBeside ? headsHeight + MARGIN : 0)),
  });
  const context = contextOf(canvas);
  context.fillStyle = paint.paper;
  context.fillRect(0, 0, canvas.width, canvas.height);
  const room = canvas.width - 2 * MARGIN;
  text(context, title, MARGIN, MARGIN + 14, { size: 20, color: paint.ink, room, weight: 600 });
  text(context, subtitle, MARGIN, MARGIN + 38, { size: 14, color: paint.muted, room });
  panes.forEach((pane, i) => {
    const { heading, detail, map, look } = pane;
    const left = MARGIN + i * (width + MARGIN);
    text(context, heading, left, top + 14, {
      size: 16,
      color: paint.ink,
      room: width,
      weight: 600,
    });
    text(context, detail, left, top + 33, { size: 13, color: paint.muted, room: width });
    const heat = document.createElement("canvas");
    if (map) paintMap(heat, map, look);
    drawPicture(context, left, top + 44, width, height, pane, heat);
    if (map) bar(context, pane, left, top + 44 + height + 12, width, paint.muted);
  });
  context.imageSmoothingQuality = "high";
  heads.forEach((each, i) => {
    const left = MARGIN + (isBeside ? panes.length : i) * (width + MARGIN);
    context.drawImage(each, left, isBeside ? top : bottom, each.width * scale, each.height * scale);
  });
  return canvas;
}

/**
 * Draws a color bar with its numbers.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Pane} pane
 * @param {number} left
 * @param {number} top
 * @param {number} width
 * @param {string} color of the numbers.
 */
function bar(context, { look, unit }, left, top, width, color) {
  const strip = el("canvas", { width: 256, height: 1 });
  const painter = contextOf(strip);
  const image = painter.createImageData(256, 1);
  new Uint32Array(image.data.buffer).set(colorTable(look.colors));
  painter.putImageData(image, 0, 0);
  context.drawImage(strip, left, top, width, 10);
  for (const { share, text: words } of colorTicks(look)) {
    context.textAlign = share < 0.05 ? "left" : share > 0.95 ? "right" : "center";
    text(context, words, left + share * width, top + 25, { size: 12, color });
  }
  context.textAlign = "left";
  text(context, unit, left, top + 41, { size: 12, color, room: width });
}

/**
 * Draws a text, cut off where it has no room.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {string} words
 * @param {number} x
 * @param {number} y
 * @param {{size: number, color: string, room?: number, weight?: number}} style
 */
function text(context, words, x, y, { size, color, room, weight = 400 }) {
  context.font = `${weight} ${size}px ${FONT}`;
  context.fillStyle = color;
  let shown = words;
  while (room && shown.length > 1 && context.measureText(shown).width > room) {
    shown = `${shown.slice(0, -2).trimEnd()}…`;
  }
  context.fillText(shown, x, y);
}

const even = (/** @type {number} */ size) => 2 * Math.ceil(size / 2);

/**
 * Returns a name for a file, of letters that every file system takes.
 *
 * @param {string[]} parts
 */
export function fileName(...parts) {
  return parts
    .join(" ")
    .replace(/[^\p{L}\p{N}.-]+/gu, "_")
    .replace(/^_+|_+$/g, "")
    .slice(0, 120);
}
