/** What is on screen as one picture, for PNG files and films. */

import { scaleTicks } from "../page/color_bar.js";
import { el } from "../lib/dom.js";
import { colorTable, paintMap } from "../lib/paint.js";
import { drawPicture } from "../page/picture_pane.js";

const MARGIN = 24;
const FONT = "system-ui, 'Segoe UI', Roboto, sans-serif";

/**
 * Returns a canvas with the panes side by side, their titles and color bars, and the heads.
 *
 * @param {Object} page `{title, subtitle, panes: [{heading, detail, view}], heads, dark, width}`;
 *     `heads` are canvases, beside one pane or below several; `width` is a pane's.
 */
export function composePage({ title, subtitle, panes, heads, dark, width }) {
  const paint = dark ? ["#303030", "#f1f3f4", "#b4b8bd"] : ["#ffffff", "#202124", "#5f6368"];
  const { picture } = panes[0].view;
  const height = Math.round((width * picture.height) / picture.width);
  const isBeside = heads.length === 1;
  const fit = (each) => (isBeside ? (height + 44) / each.height : width / each.width);
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
  const context = canvas.getContext("2d");
  context.fillStyle = paint[0];
  context.fillRect(0, 0, canvas.width, canvas.height);
  text(context, title, MARGIN, MARGIN + 14, 20, paint[1], canvas.width - 2 * MARGIN, 600);
  text(context, subtitle, MARGIN, MARGIN + 38, 14, paint[2], canvas.width - 2 * MARGIN);
  panes.forEach(({ heading, detail, view }, i) => {
    const left = MARGIN + i * (width + MARGIN);
    text(context, heading, left, top + 14, 16, paint[1], width, 600);
    text(context, detail, left, top + 33, 13, paint[2], width);
    const heat = document.createElement("canvas");
    if (view.map) paintMap(heat, view.map, view.look);
    drawPicture(context, left, top + 44, width, height, view, heat);
    if (view.map) bar(context, view, left, top + 44 + height + 12, width, paint);
  });
  context.imageSmoothingQuality = "high";
  heads.forEach((each, i) => {
    const left = MARGIN + (isBeside ? panes.length : i) * (width + MARGIN);
    context.drawImage(each, left, isBeside ? top : bottom, each.width * scale, each.height * scale);
  });
  return canvas;
}

function bar(context, { look, unit }, left, top, width, paint) {
  const strip = el("canvas", { width: 256, height: 1 });
  const image = strip.getContext("2d").createImageData(256, 1);
  new Uint32Array(image.data.buffer).set(colorTable(look.colors));
  strip.getContext("2d").putImageData(image, 0, 0);
  context.drawImage(strip, left, top, width, 10);
  for (const { share, text: words } of scaleTicks(look)) {
    context.textAlign = share < 0.05 ? "left" : share > 0.95 ? "right" : "center";
    text(context, words, left + share * width, top + 25, 12, paint[2]);
  }
  context.textAlign = "left";
  text(context, unit, left, top + 41, 12, paint[2], width);
}

function text(context, words, x, y, size, color, room, weight = 400) {
  context.font = `${weight} ${size}px ${FONT}`;
  context.fillStyle = color;
  let shown = words;
  while (room && shown.length > 1 && context.measureText(shown).width > room) {
    shown = `${shown.slice(0, -2).trimEnd()}…`;
  }
  context.fillText(shown, x, y);
}

const even = (size) => 2 * Math.ceil(size / 2);

/** Returns a name for a file, of letters that every file system takes. */
export function fileName(...parts) {
  return parts
    .join(" ")
    .replace(/[^\p{L}\p{N}.-]+/gu, "_")
    .replace(/^_+|_+$/g, "")
    .slice(0, 120);
}
