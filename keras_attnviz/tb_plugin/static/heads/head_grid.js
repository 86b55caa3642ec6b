// @ts-check
/** All layers, heads and gates as small multiples: a row a layer, first the mean of its heads. */

import { el, keepFocus, setText } from "../lib/dom.js";
import { contextOf } from "../lib/paint.js";
import { gateOf, isGate } from "../log/gates.js";
import { capitalized, headName, inUnit, layersTitle, percent, short } from "../page/words.js";
import { HeadsLayout, headCount } from "./head_grid_layout.js";
import { drawHeads, headsPicture, mapsOf, markOf } from "./head_grid_paint.js";

/** @import { Layer } from "../log/api.js" */
/** @import { Best } from "../log/metrics.js" */
/** @import { WholeRecord } from "../log/references.js" */
/** @import { Run } from "../log/run.js" */
/** @import { Tip } from "../page/tip.js" */
/** @import { HeadMap, Maps } from "./head_grid_paint.js" */

/**
 * What is shown, and marked.
 * @typedef {Object} Marks
 * @property {string} id
 * @property {WholeRecord | null} record
 * @property {boolean} isDifference
 * @property {number} aspect a map's height over its width.
 * @property {{layer: number | null, head: number | null}} selection
 * @property {(string | null)[]} unchanged for each layer since when it is, in words.
 * @property {number | null} changed the layer that changed most.
 * @property {Best | null} best
 * @property {boolean} hasBars
 * @property {number} height pixels
 * @property {number} room pixels across
 * @property {boolean} isLoading
 * @property {string} message
 */

/** @typedef {Omit<Maps, "maps"> & Marks} HeadsView */

/**
 * A layer's row, and its cells, first that of the mean.
 * @typedef {{root: HTMLElement, name: HTMLElement, cells: HTMLButtonElement[]}} Row
 */

/** @type {Object<string, [number, number]>} key to rows and columns */
const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const LINE = 14; // pixels

export class HeadsGrid {
  /**
   * @param {HTMLElement} container
   * @param {string} name `a`, `b` or `difference`.
   * @param {{onPick: (layer: number, head: number | null) => void, tip: Tip}} handlers a head of
   *     null is the mean.
   */
  constructor(container, name, { onPick, tip }) {
    this.onPick = onPick;
    this.tip = tip;
    /** @type {HeadsView | null} */
    this.view = null;
    /** @type {HeadMap[][] | null} */
    this.maps = null;
    /** @type {HeadsLayout | null} */
    this.layout = null;
    /** @type {Row[]} */
    this.rows = [];
    this.width = 0;
    this.signature = "";
    this.marked = "";
    this.canvas = el("canvas", {
      class: "heads-canvas",
      "aria-hidden": "true",
      data: { part: "heads" },
    });
    this.cells = el("div", {
      class: "heads-cells",
      role: "grid",
      "aria-label": "Layers and heads",
    });
    this.message = el("div", { class: "pane-message heads-message", role: "status" });
    this.body = el("div", { class: "heads-body" }, this.canvas, this.cells, this.message);
    this.scroller = el("div", { class: "heads-scroller", data: { pane: name } }, this.body);
    container.append(this.scroller);
    this._listen();
  }

  /**
   * Draws a view; until a record comes the old one stays, dimmed.
   *
   * @param {HeadsView} view
   */
  show(view) {
    this.scroller.classList.toggle("is-loading", view.isLoading);
    this.scroller.setAttribute("aria-busy", String(view.isLoading));
    const layout = this._build(view);
    if (view.record) {
      const maps = mapsOf(view.run, view.record, view.other);
      this.maps = maps;
      drawHeads(this.canvas, window.devicePixelRatio || 1, layout, { ...view, maps });
      this.canvas.dataset.drawn = view.id;
    } else if (!view.isLoading) this._clear();
    setText(this.message, view.message);
    this.message.hidden = !view.message;
    this._mark(view, layout);
    this.view = view;
  }

  /**
   * Returns one cell in words.
   *
   * @param {HeadsView} view
   * @param {number} layer
   * @param {number | null} head null: the mean.
   */
  _describe({ run, measure, frozen, unchanged, isDifference }, layer, head) {
    const isOfGate = isGate(run.setup.layers[layer]);
    const parts = [capitalized(headName(run, layer, head))];
    const map = isDifference ? null : this.maps?.[layer]?.[head === null ? 0 : head + 1];
    if (map) {
      parts.push(`highest ${inUnit(map.highest, isOfGate)}`);
      if (isOfGate) parts.push(`mean ${inUnit(mean(map.values), true)}`);
      else if (Number.isFinite(map.others)) parts.push(`${percent(map.others)} not on patches`);
    }
    if (measure) {
      const value = measure.at(layer, head);
      if (Number.isFinite(value))
        parts.push(`${measure.title.toLowerCase()} ${short(value)} ${measure.unit}`.trim());
    }
    if (frozen[layer]) parts.push("frozen");
    const since = unchanged[layer];
    if (since) parts.push(since);
    return { title: parts.join(" · "), text: run.setup.layers[layer].path };
  }

  _clear() {
    const { canvas } = this;
    this.maps = null;
    contextOf(canvas).clearRect(0, 0, canvas.width, canvas.height);
    canvas.dataset.drawn = "";
  }

  /**
   * Returns the layout of a view; lays out the cells where it is another one than before.
   *
   * @param {HeadsView} view
   */
  _build({ run, aspect, height, room, hasBars }) {
    const layout = new HeadsLayout(run, { aspect, height, room, hasBars });
    const { names, gaps } = layout;
    const counts = run.setup.layers.map(headCount);
    const size = [room, height, aspect.toFixed(3), hasBars];
    const signature = JSON.stringify([counts, names, gaps, size]);
    if (this.layout && signature === this.signature) return this.layout;
    this.signature = signature;
    this.layout = layout;
    this.rows = counts.map((heads, layer) => rowOf(run, layout, layer, heads));
    const columns = layout.isAlone ? [] : columnNames(layout);
    this.cells.replaceChildren(...columns, ...this.rows.map(({ root }) => root));
    this.cells.setAttribute("aria-label", layersTitle(run));
    const [width, tall] = layout.total;
    this.width = Math.min(room, width);
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.canvas, { width: width * ratio, height: tall * ratio });
    for (const { style } of [this.body, this.canvas])
      Object.assign(style, { width: `${width}px`, height: `${tall}px` });
    return layout;
  }

  /**
   * Returns a canvas of what is shown with its numbers, drawn `scale` times as fine.
   *
   * @param {number} scale
   * @param {string} color of the numbers.
   */
  picture(scale, color) {
    const { layout, view, maps } = this;
    return layout && view ? headsPicture(scale, color, layout, { ...view, maps }) : null;
  }

  /**
   * @param {HeadsView} view
   * @param {HeadsLayout} layout
   */
  _mark(view, layout) {
    const { run, selection, frozen, unchanged, changed, best } = view;
    const places = [selection.layer, selection.head, best?.layer, best?.head];
    const signature = JSON.stringify([places, frozen, unchanged, changed, this.signature]);
    if (signature === this.marked) return;
    this.marked = signature;
    const hasFocus = this.cells.contains(document.activeElement);
    this.rows.forEach(({ root, name, cells }, layer) => {
      root.classList.toggle("is-frozen", frozen[layer]);
      root.classList.toggle("is-changed", layer === changed);
      setText(name, `${markOf(view, layer)}${layout.names[layer]}`);
      name.title = titleOf(run.setup.layers[layer], unchanged[layer]);
      cells.forEach((cell, column) => {
        const head = column ? column - 1 : null;
        const words = [capitalized(headName(run, layer, head)), unchanged[layer]];
        cell.setAttribute("aria-label", words.filter(Boolean).join(", "));
        const isChosen = layer === selection.layer && head === selection.head;
        cell.setAttribute("aria-selected", String(isChosen));
        cell.classList.toggle("is-best", best?.layer === layer && best.head === head);
        const isFirst = selection.layer === null && layer === 0 && head === null;
        if (!hasFocus) cell.tabIndex = isChosen || isFirst ? 0 : -1;
      });
    });
  }

  /**
   * Returns the layer and the column of the cell that an event is about, or null.
   *
   * @param {Event} event
   */
  _placeOf({ target }) {
    for (const [layer, { cells }] of this.rows.entries()) {
      const column = cells.findIndex((cell) => target instanceof Node && cell.contains(target));
      if (column >= 0) return { layer, column, head: column ? column - 1 : null };
    }
    return null;
  }

  _listen() {
    keepFocus(this.cells);
    this.cells.addEventListener("click", (event) => {
      const place = this._placeOf(event);
      if (place) this.onPick(place.layer, place.head);
    });
    const showTip = (/** @type {Event} */ event) => {
      const place = this._placeOf(event);
      if (!place || !this.view) return this.tip.hide();
      const cell = this.rows[place.layer].cells[place.column];
      return this.tip.show(cell, this._describe(this.view, place.layer, place.head));
    };
    this.cells.addEventListener("pointerover", showTip);
    this.cells.addEventListener("focusin", showTip);
    this.cells.addEventListener("pointerleave", () => this.tip.hide());
    this.cells.addEventListener("focusout", () => this.tip.hide());
    this.cells.addEventListener("keydown", (event) => this._key(event));
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const move = MOVES[event.key];
    const place = this._placeOf(event);
    if (!place || !move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const next = this.rows[place.layer + move[0]]?.cells[place.column + move[1]];
    if (!next) return;
    this.rows[place.layer].cells[place.column].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

/**
 * Returns the names above the columns.
 *
 * @param {HeadsLayout} layout
 */
function columnNames(layout) {
  const ofMean = layout.isNarrow ? "all" : "mean";
  const corner = label("layer", "heads-corner", [0, 0, layout.label - 6, layout.top]);
  const labels = Array.from({ length: layout.columns + 1 }, (_, c) => {
    const box = [layout.x(c), 0, layout.width, layout.top];
    return label(c ? String(c) : ofMean, "heads-column", box);
  });
  return [corner, ...labels];
}

/**
 * Returns the row of a layer.
 *
 * @param {Run} run
 * @param {HeadsLayout} layout
 * @param {number} layer
 * @param {number} heads how many.
 * @returns {Row}
 */
function rowOf(run, layout, layer, heads) {
  const found = run.setup.layers[layer];
  const mark = label("", "heads-layer", [0, layout.y(layer), layout.label - 6, layout.tall]);
  const name = el("span", { text: layout.names[layer] });
  mark.append(name);
  const grid = isGate(found) ? gateOf(run, found).grid : null;
  if (grid && layout.tall >= 2 * LINE) mark.append(el("small", { text: grid.join(" × ") }));
  const cells = Array.from({ length: heads + 1 }, (_, column) => {
    const data = { layer, head: column ? column - 1 : "mean" };
    const settings = { type: "button", role: "gridcell", class: "heads-cell", tabindex: -1 };
    const cell = el("button", { ...settings, data });
    const tall = layout.tall + layout.bar;
    setBox(cell, [layout.x(column), layout.y(layer), layout.width, tall]);
    return cell;
  });
  const root = el("div", { role: "row", class: "heads-row", data: { layer } }, mark, ...cells);
  return { root, name, cells };
}

/**
 * Returns what the pointer shows on a layer's name.
 *
 * @param {Layer} layer
 * @param {string | null | undefined} unchanged
 */
function titleOf(layer, unchanged) {
  return [isGate(layer) ? layer.path : null, unchanged].filter(Boolean).join(" · ");
}

/** @param {Float32Array} values */
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * @param {string} text
 * @param {string} className
 * @param {number[]} box
 */
function label(text, className, box) {
  const node = el("div", { class: className, text, "aria-hidden": "true" });
  setBox(node, box);
  return node;
}

/**
 * Puts an element into a box.
 *
 * @param {HTMLElement} node
 * @param {number[]} box left, top, width and height in pixels.
 */
function setBox(node, [left, top, width, height]) {
  Object.assign(node.style, {
    left: `${left}px`,
    top: `${top}px`,
    width: `${width}px`,
    height: `${height}px`,
  });
}
