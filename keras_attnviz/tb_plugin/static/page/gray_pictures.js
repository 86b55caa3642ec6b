// @ts-check
/** The probes' pictures in gray, each made once. */

import { el } from "../lib/dom.js";
import { contextOf } from "../lib/paint.js";

/** @import { Setup } from "../log/api.js" */
/** @import { Run } from "../log/run.js" */

export class Pictures {
  /** @param {() => void} onCome called when a picture is there. */
  constructor(onCome) {
    this.onCome = onCome;
    /** @type {Map<string, {canvas: HTMLCanvasElement | null}>} */
    this.entries = new Map();
  }

  /**
   * Returns the picture of a probe if it is there, else null.
   *
   * @param {{run: Run, probe: number}} side
   */
  of({ run, probe }) {
    const key = `${run.name} ${probe} ${run.setup.pictures[probe]}`;
    const known = this.entries.get(key);
    if (known) return known.canvas;
    /** @type {{canvas: HTMLCanvasElement | null}} */
    const entry = { canvas: null };
    this.entries.set(key, entry);
    run
      .picture(probe)
      .then(grayPicture)
      .catch(() => plainPicture(run))
      .then((canvas) => {
        entry.canvas = canvas;
        this.onCome();
      });
    return null;
  }
}

/**
 * Returns a canvas with a picture in gray.
 *
 * @param {Blob} blob
 */
async function grayPicture(blob) {
  const bitmap = await createImageBitmap(blob);
  const canvas = el("canvas", { width: bitmap.width, height: bitmap.height });
  const context = contextOf(canvas, { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const image = context.getImageData(0, 0, canvas.width, canvas.height);
  const { data } = image;
  for (let i = 0; i < data.length; i += 4) {
    const gray = 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];
    data[i] = gray;
    data[i + 1] = gray;
    data[i + 2] = gray;
  }
  context.putImageData(image, 0, 0);
  bitmap.close();
  return canvas;
}

/**
 * Returns a plain gray picture of the grid's shape, where a picture can't be read.
 *
 * @param {{setup: Setup}} run
 */
function plainPicture({ setup }) {
  const [rows, columns] = setup.grid;
  const canvas = el("canvas", { width: columns * 16, height: rows * 16 });
  const context = contextOf(canvas);
  context.fillStyle = "#808080";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}
