// @ts-check
/** Films of canvases: their frames one after the other, for an encoder. */

import { contextOf } from "../lib/paint.js";

/**
 * A film. `frame(i)` gives the canvas of frame i or a promise of it, and may draw all of them on
 * one canvas; all have the size of the first. What is transparent becomes `background`.
 * @typedef {Object} Film
 * @property {number} count
 * @property {(index: number) => HTMLCanvasElement | Promise<HTMLCanvasElement>} frame
 * @property {number | ((index: number) => number)} delay milliseconds a frame.
 * @property {((done: number, count: number) => void) | null} [onProgress] called after each frame.
 * @property {AbortSignal} [signal]
 * @property {string} [background]
 */

/** @typedef {(context: CanvasRenderingContext2D, delay: number) => void | Promise<void>} Take */

/**
 * Calls `take` with each frame, drawn on one canvas of our own; gives the page time to react after
 * each, and ends with the signal's reason when it is aborted.
 *
 * @param {Film} film
 * @param {Take} take
 * @param {number} multiple of pixels; what is left over is cut off: video wants even sizes.
 */
export async function eachFrame(film, take, multiple = 1) {
  const { count, frame, delay, onProgress, signal, background = "#fff" } = film;
  if (!(count >= 1)) throw new RangeError(`\`count\` must be 1 or more. Received: count=${count}.`);
  /** @type {CanvasRenderingContext2D | null} */
  let context = null;
  /** @type {[number, number] | null} */
  let size = null;
  for (let index = 0; index < count; index += 1) {
    signal?.throwIfAborted();
    const picture = await frame(index);
    size ??= [picture.width, picture.height];
    if (picture.width !== size[0] || picture.height !== size[1]) {
      const wanted = `All frames must have the size ${size.join("x")}.`;
      const received = `${picture.width}x${picture.height}`;
      throw new RangeError(`${wanted} Received: ${received}.`);
    }
    context ??= ownCanvas(picture, multiple);
    context.fillStyle = background;
    context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    context.drawImage(picture, 0, 0);
    await take(context, typeof delay === "function" ? delay(index) : delay);
    onProgress?.(index + 1, count);
    await breath();
  }
  signal?.throwIfAborted();
}

/**
 * Returns the context of a canvas of almost the same size.
 *
 * @param {HTMLCanvasElement} picture
 * @param {number} multiple of pixels.
 */
function ownCanvas({ width, height }, multiple) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(multiple, width - (width % multiple));
  canvas.height = Math.max(multiple, height - (height % multiple));
  return contextOf(canvas, { willReadFrequently: true, alpha: false });
}

/**
 * Lets the page react. A message, unlike a timer, is not slowed down in a tab in the background.
 *
 * @returns {Promise<void>}
 */
export function breath() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
