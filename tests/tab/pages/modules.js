// What the tests call on the page: the modules, with what JSON can't hold made here.

import * as charts from "./static/charts/charts.js";
import { savePng } from "./static/export/files.js";
import { encodeGif } from "./static/export/gif_film.js";
import { encodeWebm, webmSupport } from "./static/export/webm_film.js";
import { COLOR_MAPS } from "./static/lib/colormaps.js";

function typed({ steps, groups, ...rest }) {
  const values = (line) => Float32Array.from(line.values, (value) => value ?? NaN);
  const lines = (group) => group.lines.map((line) => ({ ...line, values: values(line) }));
  return {
    ...rest,
    steps: Int32Array.from(steps),
    groups: groups?.map((group) => ({ ...group, lines: lines(group) })),
  };
}

// Shows line charts; what they ask for is in `asked`, and they are set to it.
function draw({ compare = null, ...data }) {
  document.body.classList.toggle("dark", data.dark);
  window.asked = [];
  window.shown ??= charts.createCharts(document.querySelector("main"), {
    onStep: (step) => {
      window.asked.push(step);
      window.shown.setStep(step);
    },
  });
  window.shown.update({ ...typed(data), compare: compare && typed(compare) });
}

const film = { encodeGif, encodeWebm, savePng, webmSupport };
const encoders = { encodeGif, encodeWebm };

// Makes a film: frame i is of color i above, and a ramp of the color map viridis below.
async function shoot(kind, { count, width, height, colors, delays, abortAt = null, sizes = null }) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const controller = new AbortController();
  const progress = [];
  window.progress = progress;
  const frame = async (i) => {
    if (sizes) [canvas.width, canvas.height] = sizes[i];
    paint(canvas.getContext("2d"), colors[i % colors.length]);
    return canvas;
  };
  const blob = await encoders[kind]({
    count,
    frame,
    delay: (i) => delays[i % delays.length],
    onProgress: (done, of) => {
      progress.push([done, of]);
      if (done === abortAt) controller.abort();
    },
    signal: controller.signal,
  });
  return { content: await base64(blob), type: blob.type, progress };
}

function paint(context, color) {
  const { width, height } = context.canvas;
  context.fillStyle = color;
  context.fillRect(0, 0, width, height / 2);
  for (let x = 0; x < width; x += 1) {
    const at = 3 * Math.floor((256 * x) / width);
    context.fillStyle = `rgb(${COLOR_MAPS.viridis.slice(at, at + 3).join(",")})`;
    context.fillRect(x, height / 2, 1, height / 2);
  }
}

async function base64(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}

Object.assign(window, { draw, shoot, film, COLOR_MAPS, ready: true });
