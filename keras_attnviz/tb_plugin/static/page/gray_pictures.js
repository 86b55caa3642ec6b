/** The probes' pictures in gray, each made once. */

import { el } from "../lib/dom.js";
import { grayPicture } from "./picture_pane.js";

export class Pictures {
  /** @param {function} onCome called when a picture is there. */
  constructor(onCome) {
    this.onCome = onCome;
    this.entries = new Map();
  }

  /** Returns the picture of `{run, probe}` if it is there, else null. */
  of({ run, probe }) {
    const key = `${run.name} ${probe} ${run.setup.pictures[probe]}`;
    if (!this.entries.has(key)) {
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
    }
    return this.entries.get(key).canvas;
  }
}

/** Returns a plain gray picture of the grid's shape, where a picture can't be read. */
function plainPicture({ setup }) {
  const [rows, columns] = setup.grid;
  const canvas = el("canvas", { width: columns * 16, height: rows * 16 });
  const context = canvas.getContext("2d");
  context.fillStyle = "#808080";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}
