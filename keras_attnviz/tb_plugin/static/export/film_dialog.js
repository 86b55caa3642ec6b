// @ts-check
/** The dialog that makes a film of the epochs: GIF or WebM. */

import { el } from "../lib/dom.js";
import { messageOf } from "../log/blobs.js";
import { plural } from "../page/words.js";
import { saveBlob } from "./files.js";

/**
 * A film of epochs: so many a second, and the name of its file.
 * @typedef {Object} EpochFilm
 * @property {number} count
 * @property {(index: number) => Promise<HTMLCanvasElement>} frame
 * @property {number} speed
 * @property {string} name
 */

export class FilmDialog {
  /** @param {() => EpochFilm | null} onOpen */
  constructor(onOpen) {
    this.onOpen = onOpen;
    /** @type {EpochFilm | null} */
    this.film = null;
    /** @type {AbortController | null} */
    this.controller = null;
    this.format = ["gif", "webm"].map((value) =>
      el("input", { type: "radio", name: "film-format", id: `film-${value}`, value }),
    );
    this.format[0].checked = true;
    this.text = el("p", { class: "muted" });
    this.note = el("p", { class: "muted", hidden: true });
    this.progress = el("progress", { max: 1, value: 0, "aria-label": "Progress" });
    this.status = el("p", { role: "status" });
    this.save = el("button", {
      type: "button",
      class: "primary",
      id: "film-save",
      text: "Save film",
      on: { click: () => this._make() },
    });
    this.cancel = el("button", {
      type: "button",
      id: "film-cancel",
      text: "Close",
      on: { click: () => this.root.close() },
    });
    this.root = el(
      "dialog",
      { id: "film-dialog", "aria-labelledby": "film-title" },
      el("h2", { id: "film-title", text: "Save the film" }),
      this.text,
      el(
        "div",
        { class: "choices" },
        ...["GIF", "WebM video"].map((words, i) =>
          el("label", { for: this.format[i].id }, this.format[i], ` ${words}`),
        ),
      ),
      this.note,
      this.progress,
      this.status,
      el("div", { class: "actions" }, this.cancel, this.save),
    );
    this.root.addEventListener("close", () => this.controller?.abort());
  }

  async open() {
    this.film = this.onOpen();
    if (!this.film) return;
    const { count, speed } = this.film;
    const seconds = Math.round((10 * count) / speed) / 10;
    const rate = `${plural(count, "epoch")} at ${speed} a second: ${seconds} s`;
    this.text.textContent = `${rate}, the panes as they are.`;
    this._busy(false);
    this.status.textContent = "";
    this.root.showModal();
    try {
      // The first picture of the page needs no encoders: they are loaded only here.
      const { webmSupport } = await loaded(import("./webm_film.js"));
      this._offer(await webmSupport());
    } catch (error) {
      this.status.textContent = messageOf(error);
    }
  }

  /** @param {"codecs" | "recorder" | null} support how this browser can make WebM. */
  _offer(support) {
    this.format[1].disabled = support === null;
    this.note.hidden = support === "codecs";
    this.note.textContent =
      support === null
        ? "This browser can't make WebM videos."
        : "Here a WebM video takes as long to make as it lasts.";
  }

  /** @param {boolean} isBusy */
  _busy(isBusy) {
    this.progress.hidden = !isBusy;
    this.save.disabled = isBusy;
    this.cancel.textContent = isBusy ? "Cancel" : "Close";
  }

  async _make() {
    if (!this.film) return;
    const { count, frame, speed, name } = this.film;
    const isGif = this.format[0].checked;
    this.controller = new AbortController();
    const { signal } = this.controller;
    this._busy(true);
    this.status.textContent = "";
    try {
      const encode = isGif
        ? (await loaded(import("./gif_film.js"))).encodeGif
        : (await loaded(import("./webm_film.js"))).encodeWebm;
      const onProgress = (/** @type {number} */ done) => {
        this.progress.value = done / count;
      };
      const blob = await encode({ count, frame, delay: 1000 / speed, onProgress, signal });
      saveBlob(blob, `${name}.${isGif ? "gif" : "webm"}`);
      this.status.textContent = `Saved, ${(blob.size / 1e6).toFixed(1)} MB.`;
      this.root.dataset.saved = String(blob.size);
    } catch (error) {
      if (!signal.aborted) this.status.textContent = messageOf(error);
    }
    this._busy(false);
  }
}

/**
 * Returns a module of encoders once it is loaded; a failure says so in words.
 *
 * @template T
 * @param {Promise<T>} module
 */
async function loaded(module) {
  try {
    return await module;
  } catch (error) {
    throw new Error("TensorBoard doesn't answer, so films can't be made.", { cause: error });
  }
}
