// @ts-check
/** Films as WebM, by the browser's encoder or its recorder. */

import { breath, eachFrame } from "./film.js";
import { webm } from "./webm.js";

/** @import { Film } from "./film.js" */

/** @typedef {{codec: string, name: string}} Codec */

const MILLISECONDS_A_KEY_FRAME = 2000;

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
