// @ts-check
/** A pane: a probe's picture in gray, the heatmap over it, and the patch under the pointer. */

import { el, keepFocus, setText } from "../lib/dom.js";
import { contextOf, paintMap } from "../lib/paint.js";
import { ColorBar } from "./color_bar.js";
import { drawPicture, outline } from "./picture.js";
import { patchText } from "./words.js";

/** @import { AttentionMap } from "../log/maps.js" */
/** @import { Drawn } from "./picture.js" */

/**
 * What a pane shows. A plain one never has a map.
 * @typedef {Object} View
 * @property {string} id
 * @property {string} label for those who don't see the picture.
 * @property {(Node | string)[]} title
 * @property {string} heading the title as a text.
 * @property {string} detail
 * @property {HTMLCanvasElement | null | undefined} picture
 * @property {AttentionMap | null} map
 * @property {Drawn["look"]} look
 * @property {number} opacity
 * @property {number[] | null} query the patch that asks.
 * @property {string} note
 * @property {Node[] | null} message
 * @property {string} unit
 * @property {boolean} isLoading
 * @property {boolean} isAbsolute whether the values are those of gates.
 * @property {boolean} [isPlain]
 * @property {boolean} [isDifference]
 */

/** @typedef {{onPatch: (patch: number[], map: AttentionMap) => void,
 *     onHover: (patch: number[] | null) => void}} Handlers */

/** @type {Object<string, [number, number]>} key to columns and rows */
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const SMALLEST = 220;

export class PicturePane {
  /**
   * @param {HTMLElement} container
   * @param {string} name `a`, `b` or `difference`.
   * @param {Handlers} handlers called with `[x, y]` on the map's grid.
   */
  constructor(container, name, { onPatch, onHover }) {
    this.name = name;
    this.handlers = { onPatch, onHover };
    /** @type {View | null} */
    this.view = null;
    /** @type {number[] | null} under the pointer */
    this.patch = null;
    /** The largest height and width in pixels. */
    this.height = SMALLEST;
    this.room = SMALLEST;
    /** @type {{picture: HTMLCanvasElement, canvas: HTMLCanvasElement} | null} */
    this.base = null;
    this.heat = document.createElement("canvas");
    this.title = el("div", { class: "pane-title" });
    this.canvas = el("canvas", {
      class: "picture",
      tabindex: 0,
      role: "img",
      data: { pane: name },
    });
    this.message = el("div", { class: "pane-message", role: "status" });
    this.stage = el("div", { class: "stage" }, this.canvas, this.message);
    this.readout = el("div", { class: "readout", data: { part: "readout" } });
    this.root = el("figure", { class: "pane", data: { pane: name } });
    this.root.append(el("figcaption", {}, this.title), this.stage, this.readout);
    this.bar = new ColorBar(this.root);
    container.append(this.root);
    this._listen();
  }

  /**
   * Draws a view. What is missing is left as it was, dimmed.
   *
   * @param {View} view
   * @param {{height: number, room: number}} largest height and width in pixels.
   */
  show(view, { height, room }) {
    this.view = view;
    this.height = height;
    this.room = room;
    this.title.replaceChildren(...view.title);
    this.root.classList.toggle("is-loading", Boolean(view.isLoading));
    this.root.setAttribute("aria-busy", String(Boolean(view.isLoading)));
    this.message.replaceChildren(...(view.message ?? []));
    this.message.hidden = !view.message;
    if (view.map) {
      paintMap(this.heat, view.map, view.look);
      this.bar.update(view.look, view.unit);
    }
    this.bar.root.hidden = !view.map;
    this.canvas.tabIndex = view.isPlain ? -1 : 0;
    this.canvas.classList.toggle("is-plain", Boolean(view.isPlain));
    this._draw();
    this._say();
  }

  /**
   * Marks the patch at `[x, y]`, or none, and says its value.
   *
   * @param {number[] | null} patch
   */
  hover(patch) {
    this.patch = patch;
    this._draw();
    this._say();
  }

  /**
   * Makes the canvas as large as it may be for a picture.
   *
   * @param {HTMLCanvasElement} picture
   */
  _fit(picture) {
    const { room, height } = this;
    const scale = Math.min(room / picture.width, Math.max(SMALLEST, height) / picture.height);
    const [width, tall] = [picture.width, picture.height].map((n) =>
      Math.max(1, Math.round(n * scale)),
    );
    const ratio = window.devicePixelRatio || 1;
    const [pixels, lines] = [Math.round(width * ratio), Math.round(tall * ratio)];
    if (this.canvas.width !== pixels || this.canvas.height !== lines) {
      Object.assign(this.canvas, { width: pixels, height: lines });
      Object.assign(this.canvas.style, { width: `${width}px`, height: `${tall}px` });
      this.root.style.setProperty("--shown", `${Math.max(width, SMALLEST)}px`);
    }
  }

  _draw() {
    const { view, canvas } = this;
    if (!view?.picture) return;
    const { map } = view;
    this._fit(view.picture);
    const ready = { ...view, picture: this._enlarged(view.picture) };
    drawPicture(contextOf(canvas), 0, 0, canvas.width, canvas.height, ready, this.heat);
    if (this.patch && map) {
      outline(contextOf(canvas), 0, 0, canvas.width, canvas.height, this.patch, map, 1.5);
    }
    this.canvas.dataset.drawn = (map || view.isPlain) && !view.isLoading ? view.id : "";
    this.canvas.setAttribute("aria-label", view.label);
  }

  /**
   * Returns the picture in the canvas's size: well enlarged once, not at every epoch.
   *
   * @param {HTMLCanvasElement} picture
   */
  _enlarged(picture) {
    const { width, height } = this.canvas;
    const { base } = this;
    const isSame = base?.picture === picture;
    if (isSame && base.canvas.width === width && base.canvas.height === height) return base.canvas;
    const canvas = el("canvas", { width, height });
    const context = contextOf(canvas);
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, 0, 0, width, height);
    this.base = { picture, canvas };
    return canvas;
  }

  _say() {
    const { view, patch } = this;
    const text = patch && view?.map ? patchText(view.map, patch, view) : "";
    setText(this.readout, text || (view?.note ?? ""));
  }

  /**
   * Returns the patch under the pointer, or null.
   *
   * @param {MouseEvent} event
   */
  _patchAt(event) {
    const map = this.view?.map;
    const box = this.canvas.getBoundingClientRect();
    if (!map || !box.width) return null;
    const { grid, span } = map;
    const share = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    if (share.some((each) => each < 0 || each >= 1)) return null;
    return [
      Math.min(grid[1] - 1, Math.floor((share[0] * grid[1]) / span[1])),
      Math.min(grid[0] - 1, Math.floor((share[1] * grid[0]) / span[0])),
    ];
  }

  _listen() {
    const { canvas, handlers } = this;
    canvas.addEventListener("pointermove", (event) => handlers.onHover(this._patchAt(event)));
    canvas.addEventListener("pointerleave", () => handlers.onHover(null));
    keepFocus(canvas);
    canvas.addEventListener("click", (event) => {
      const patch = this._patchAt(event);
      if (patch && this.view?.map) handlers.onPatch(patch, this.view.map);
    });
    canvas.addEventListener("blur", () => handlers.onHover(null));
    canvas.addEventListener("keydown", (event) => this._key(event));
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const map = this.view?.map;
    if (!map || event.altKey || event.ctrlKey || event.metaKey) return;
    const [rows, columns] = map.grid;
    const [x, y] = this.patch ?? [Math.floor(columns / 2), Math.floor(rows / 2)];
    if (MOVES[event.key]) {
      const [dx, dy] = this.patch ? MOVES[event.key] : [0, 0];
      /** @type {(value: number, count: number) => number} */
      const clamp = (value, count) => Math.min(count - 1, Math.max(0, value));
      this.handlers.onHover([clamp(x + dx, columns), clamp(y + dy, rows)]);
    } else if (event.key === "Enter" && this.patch) {
      this.handlers.onPatch(this.patch, map);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
