// @ts-check
/** Films of canvases as GIF or WebM, and files for the person to keep. */

import { contextOf } from "../lib/paint.js";
import { applyPalette, GIFEncoder, quantize } from "../vendor/gifenc.esm.js";
import { webm } from "./webm.js";

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
/** @typedef {{codec: string, name: string}} Codec */

// Browsers show a GIF's frame of less than 20 ms for 100 ms.
const SHORTEST_GIF_DELAY = 20;
// How many frames of a film, and how many pixels of each, the colors of a GIF are taken from.
const PALETTE_FRAMES = 24;
const PALETTE_PIXELS = 20_000;
const MILLISECONDS_A_KEY_FRAME = 2000;

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

/**
 * Returns how this browser can make WebM: `codecs` (exact, faster than the film), `recorder` (takes
 * as long as the film lasts), or null. Browsers offer the first only to https and localhost.
 *
 * @returns {Promise<"codecs" | "recorder" | null>}
 */
export async function webmSupport() {
  if (await supportedCodec()) return "codecs";
  return recorderType() ? "recorder" : null;
}

/**
 * Returns a promise of a WebM video; throws where the browser can make none.
 *
 * @param {Film} film
 * @returns {Promise<Blob>}
 */
export async function encodeWebm(film) {
  const codec = await supportedCodec();
  if (codec) return encodeWithCodecs(film, codec);
  const type = recorderType();
  if (type) return record(film, type);
  throw new Error("This browser can't make WebM videos. Save the film as GIF.");
}

/** @returns {Promise<Codec | null>} */
async function supportedCodec() {
  if (typeof VideoEncoder === "undefined") return null;
  for (const [codec, name] of [
    ["vp09.00.51.08", "V_VP9"],
    ["vp8", "V_VP8"],
  ]) {
    const { supported } = await VideoEncoder.isConfigSupported({ codec, width: 640, height: 480 });
    if (supported) return { codec, name };
  }
  return null;
}

/**
 * @param {Film} film
 * @param {Codec} codec
 */
async function encodeWithCodecs(film, { codec, name }) {
  /** @type {EncodedVideoChunk[]} */
  const chunks = [];
  /** @type {{time: number, duration: number}[]} */
  const frames = [];
  /** @type {Error[]} */
  const failures = [];
  let sizes = { width: 0, height: 0 };
  let time = 0;
  let lastKey = -Infinity;
  const encoder = new VideoEncoder({
    output: (chunk) => chunks.push(chunk),
    error: (error) => failures.push(error),
  });
  try {
    await eachFrame(
      film,
      async (context, delay) => {
        if (failures.length) throw failures[0];
        const { width, height } = context.canvas;
        if (!sizes.width) {
          sizes = { width, height };
          const bitrate = Math.min(40e6, Math.max(1e6, 6 * width * height));
          encoder.configure({ codec, width, height, bitrate, latencyMode: "quality" });
        }
        const duration = Math.max(1, Math.round(delay));
        const key = time - lastKey >= MILLISECONDS_A_KEY_FRAME;
        if (key) lastKey = time;
        const times = { timestamp: 1000 * time, duration: 1000 * duration };
        const picture = new VideoFrame(context.canvas, times);
        encoder.encode(picture, { keyFrame: key });
        picture.close();
        frames.push({ time, duration });
        time += duration;
        while (encoder.encodeQueueSize > 4 && !failures.length) await breath();
      },
      2,
    );
    await encoder.flush();
    if (failures.length) throw failures[0];
  } finally {
    if (encoder.state !== "closed") encoder.close();
  }
  const filled = chunks.map((chunk, index) => {
    const data = new Uint8Array(chunk.byteLength);
    chunk.copyTo(data);
    return { ...frames[index], data, key: chunk.type === "key" };
  });
  return webm({ codec: name, ...sizes, frames: filled });
}

function recorderType() {
  if (typeof MediaRecorder === "undefined") return null;
  const types = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm"];
  return types.find((type) => MediaRecorder.isTypeSupported(type)) ?? null;
}

/**
 * Plays the film on a canvas and records it, so that it takes as long as it lasts.
 *
 * @param {Film} film
 * @param {string} mimeType
 */
async function record(film, mimeType) {
  /** @type {Recording[]} one, once the first frame's size is known */
  const recordings = [];
  let next = 0;
  try {
    await eachFrame(
      film,
      async (context, delay) => {
        if (!recordings.length) {
          recordings.push(recording(context.canvas, mimeType));
          next = performance.now();
        }
        recordings[0].track.requestFrame();
        next += delay;
        await new Promise((resolve) => setTimeout(resolve, next - performance.now()));
      },
      2,
    );
    // A frame lasts until the next one: the last one is shown once more at its end.
    recordings[0].track.requestFrame();
    await breath();
  } finally {
    for (const { recorder, track, ended } of recordings) {
      if (recorder.state !== "inactive") recorder.stop();
      await ended;
      track.stop();
    }
  }
  return new Blob(recordings[0].parts, { type: "video/webm" });
}

/** @typedef {ReturnType<typeof recording>} Recording */

/**
 * Begins to record a canvas.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {string} mimeType
 */
function recording(canvas, mimeType) {
  /** @type {Blob[]} */
  const parts = [];
  const stream = canvas.captureStream(0);
  const [track] = /** @type {CanvasCaptureMediaStreamTrack[]} */ (stream.getVideoTracks());
  const recorder = new MediaRecorder(stream, { mimeType, videoBitsPerSecond: 8e6 });
  recorder.ondataavailable = ({ data }) => parts.push(data);
  const ended = new Promise((resolve, reject) => {
    recorder.onstop = resolve;
    recorder.onerror = (event) => reject("error" in event ? event.error : event);
  });
  recorder.start();
  return { recorder, track, ended, parts };
}

/**
 * Calls `take` with each frame, drawn on one canvas of our own; gives the page time to react after
 * each, and ends with the signal's reason when it is aborted.
 *
 * @param {Film} film
 * @param {Take} take
 * @param {number} multiple of pixels; what is left over is cut off: video wants even sizes.
 */
async function eachFrame(film, take, multiple = 1) {
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
function breath() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/**
 * Gives the person a file to keep.
 *
 * @param {Blob} blob
 * @param {string} name
 */
export function saveBlob(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The download reads the address after this function has returned.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/**
 * Saves a canvas as PNG.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {string} name of the file.
 */
export async function savePng(canvas, name) {
  /** @type {Blob | null} */
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!blob) throw new Error(`A picture of ${canvas.width}x${canvas.height} can't be saved.`);
  saveBlob(blob, name);
}
