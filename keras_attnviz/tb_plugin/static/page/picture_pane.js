/** A pane: a probe's picture in gray, the heatmap over it, and the patch under the pointer. */

import { ColorBar } from "./color_bar.js";
import { el, keepFocus, setText } from "../lib/dom.js";
import { inUnit, paintMap } from "../lib/paint.js";

const SMALLEST = 220;

export class PicturePane {
  /**
   * @param {HTMLElement} container
   * @param {string} name `a`, `b` or `difference`.
   * @param {{onPatch, onHover}} handlers called with `[x, y]` on the map's grid.
   */
  constructor(container, name, { onPatch, onHover }) {
    this.name = name;
    this.handlers = { onPatch, onHover };
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
   * Draws a view: `{title, picture, map, look, query, queryGrid, note, message, unit, opacity,
   * isAbsolute, isPlain}`. What is missing is left as it was, dimmed; a plain one has no map ever.
   */
  show(view) {
    this.view = view;
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

  /** Marks the patch at `[x, y]`, or none, and tells its value. */
  hover(patch) {
    this.patch = patch;
    this._draw();
    this._say();
  }

  /** Sets the largest size; returns whether the canvas has changed. */
  fit(height) {
    const { picture } = this.view ?? {};
    if (!picture) return;
    const room = this.room ?? this.stage.clientWidth;
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
    this.fit(this.height ?? SMALLEST);
    const ready = { ...view, picture: this._enlarged(view.picture) };
    drawPicture(canvas.getContext("2d"), 0, 0, canvas.width, canvas.height, ready, this.heat);
    if (this.patch && map) this._outline(this.patch, map, 1.5);
    this.canvas.dataset.drawn = (map || view.isPlain) && !view.isLoading ? view.id : "";
    this.canvas.setAttribute("aria-label", view.label ?? "");
  }

  /** Returns the picture in the canvas's size: well enlarged once, not at every epoch. */
  _enlarged(picture) {
    const { width, height } = this.canvas;
    const { base } = this;
    if (
      !base ||
      base.picture !== picture ||
      base.canvas.width !== width ||
      base.canvas.height !== height
    ) {
      const canvas = el("canvas", { width, height });
      const context = canvas.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(picture, 0, 0, width, height);
      this.base = { picture, canvas };
    }
    return this.base.canvas;
  }

  _outline(patch, map, thickness) {
    const { width, height } = this.canvas;
    outline(this.canvas.getContext("2d"), 0, 0, width, height, patch, map, thickness);
  }

  _say() {
    const { view, patch } = this;
    let text = view?.note ?? "";
    if (patch && view?.map) {
      const [x, y] = patch;
      const value = view.map.values[y * view.map.grid[1] + x];
      const sign = view.isDifference && value > 0 ? "+" : "";
      if (value !== undefined) {
        const words = `${sign}${inUnit(value, view.isAbsolute)}`;
        text = view.isAbsolute
          ? `At ${x}, ${y}: gate ${words}`
          : `Patch ${x}, ${y}: ${words} uniform`;
      }
    }
    setText(this.readout, text);
  }

  _patchAt(event) {
    const { map } = this.view ?? {};
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
      if (patch) handlers.onPatch(patch, this.view.map);
    });
    canvas.addEventListener("blur", () => handlers.onHover(null));
    canvas.addEventListener("keydown", (event) => this._key(event));
  }

  _key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const { map } = this.view ?? {};
    if (!map || event.altKey || event.ctrlKey || event.metaKey) return;
    const [rows, columns] = map.grid;
    const [x, y] = this.patch ?? [Math.floor(columns / 2), Math.floor(rows / 2)];
    if (moves[event.key]) {
      const [dx, dy] = this.patch ? moves[event.key] : [0, 0];
      const clamp = (value, count) => Math.min(count - 1, Math.max(0, value));
      this.handlers.onHover([clamp(x + dx, columns), clamp(y + dy, rows)]);
    } else if (event.key === "Enter" && this.patch) {
      this.handlers.onPatch(this.patch, map);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** Draws a picture in gray, the heatmap over it and the patch that asks into a part of a canvas. */
export function drawPicture(context, left, top, width, height, view, heat) {
  const { picture, map, look, opacity, query } = view;
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  context.imageSmoothingEnabled = true;
  context.drawImage(picture, left, top, width, height);
  if (map) {
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = look.smooth;
    context.drawImage(heat, left, top, width * map.span[1], height * map.span[0]);
  }
  context.restore();
  if (query && map) outline(context, left, top, width, height, query, map, 2.5);
}

function outline(context, left, top, width, height, [x, y], { grid, span }, thickness) {
  const wide = (width * span[1]) / grid[1];
  const tall = (height * span[0]) / grid[0];
  const ratio = window.devicePixelRatio || 1;
  for (const [color, line] of [
    ["rgba(0,0,0,.65)", thickness + 2],
    ["#fff", thickness],
  ]) {
    context.strokeStyle = color;
    context.lineWidth = line * ratio;
    context.strokeRect(left + x * wide, top + y * tall, wide, tall);
  }
}

/** Returns a picture's height over its width, or before it is there its grid's, within bounds. */
export function aspectOf({ run, picture }) {
  const [rows, columns] = run.setup.grid;
  return Math.min(3, Math.max(0.35, picture ? picture.height / picture.width : rows / columns));
}

/** Returns a canvas with a picture in gray. */
export async function grayPicture(blob) {
  const bitmap = await createImageBitmap(blob);
  const canvas = el("canvas", { width: bitmap.width, height: bitmap.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
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
