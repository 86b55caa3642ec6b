// @ts-check
/** Films as GIF. */

import { applyPalette, GIFEncoder, quantize } from "../vendor/gifenc.esm.js";
import { eachFrame } from "./film.js";

/** @import { Film } from "./film.js" */

// Browsers show a GIF's frame of less than 20 ms for 100 ms.
const SHORTEST_GIF_DELAY = 20;
// How many frames of a film, and how many pixels of each, the colors of a GIF are taken from.
const PALETTE_FRAMES = 24;
const PALETTE_PIXELS = 20_000;

/**
 * Returns a promise of a GIF that loops. All frames share one palette, so that what stands still
 * doesn't flicker; the frames that it is taken from are asked for twice.
 *
 * @param {Film} film
 * @returns {Promise<Blob>}
 */
export async function encodeGif(film) {
  const palette = await commonPalette(film);
  const encoder = GIFEncoder();
  const clock = gifClock();
  let first = true;
  await eachFrame(film, (context, delay) => {
    const { width, height } = context.canvas;
    const indices = applyPalette(pixelsOf(context), palette, "rgb565");
    const options = { delay: clock(delay), palette: first ? palette : null };
    encoder.writeFrame(indices, width, height, options);
    first = false;
  });
  encoder.finish();
  return new Blob([encoder.bytesView()], { type: "image/gif" });
}

/**
 * Returns the 256 colors that suit pixels of frames from the whole film. To find them among 12 bits
 * of color took an eighth of the time of 16 bits, with the same error.
 *
 * @param {Film} film
 */
async function commonPalette(film) {
  const count = Math.min(film.count, PALETTE_FRAMES);
  const index = (/** @type {number} */ at) =>
    count > 1 ? Math.round((at * (film.count - 1)) / (count - 1)) : 0;
  /** @type {number[]} */
  const samples = [];
  const frame = (/** @type {number} */ at) => film.frame(index(at));
  await eachFrame({ ...film, count, frame, onProgress: null }, (context) => {
    const pixels = new Uint32Array(pixelsOf(context).buffer);
    const step = Math.max(1, pixels.length / PALETTE_PIXELS);
    for (let at = 0; at < pixels.length; at += step) samples.push(pixels[Math.floor(at)]);
  });
  return quantize(new Uint8Array(Uint32Array.from(samples).buffer), 256, { format: "rgb444" });
}

/** @param {CanvasRenderingContext2D} context */
function pixelsOf(context) {
  return context.getImageData(0, 0, context.canvas.width, context.canvas.height).data;
}

/** GIF counts hundredths of a second: what is rounded off one frame is made up for by the next. */
function gifClock() {
  let wanted = 0;
  let given = 0;
  return (/** @type {number} */ delay) => {
    wanted += Math.max(delay, SHORTEST_GIF_DELAY);
    const rounded = Math.max(SHORTEST_GIF_DELAY, 10 * Math.round((wanted - given) / 10));
    given += rounded;
    return rounded;
  };
}
