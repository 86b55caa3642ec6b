/** All layers, heads and gates as small multiples: a row a layer, first the mean of its heads. */

import { el, keepFocus, setText } from "../lib/dom.js";
import { areAllGates, capitalized, isGate, layerName } from "../log/gates.js";
import { HeadsLayout, headsOf } from "./head_grid_layout.js";
import { drawHeads, headsPicture, mapsOf, markOf } from "./head_grid_paint.js";
import { inUnit, short } from "../lib/paint.js";

const LINE = 14; // pixels

export class HeadsGrid {
  /** @param {{onPick, tip}} handlers `onPick(layer, head)`; head null is the mean. */
  constructor(container, name, { onPick, tip }) {
    this.onPick = onPick;
    this.tip = tip;
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
   * Draws a view: `{run, record, other, difference, look, aspect, selection, frozen, unchanged,
   * changed, measure, height, room, isLoading, message}`; until a record comes the old one stays,
   * dimmed.
   */
  show(view) {
    this.scroller.classList.toggle("is-loading", Boolean(view.isLoading));
    this.scroller.setAttribute("aria-busy", String(Boolean(view.isLoading)));
    this._build(view);
    if (view.record) {
      view.maps = mapsOf(view);
      drawHeads(this.canvas, window.devicePixelRatio || 1, this.layout, view);
      this.canvas.dataset.drawn = view.id;
    } else if (view.isLoading) view.maps = this.view?.maps;
    else this._clear();
    setText(this.message, view.message);
    this.message.hidden = !view.message;
    this._mark(view);
    this.view = view;
  }

  /** Returns what is said of one cell. */
  describe(layer, head) {
    const { run, measure, maps, frozen, unchanged, difference: isDifference } = this.view;
    const isOfGate = isGate(run.setup.layers[layer]);
    const parts = [placeName(run, layer, head)];
    const map = maps?.[layer]?.[head === null ? 0 : head + 1];
    if (map && !isDifference) parts.push(`highest ${inUnit(map.highest, isOfGate)}`);
    if (map && !isDifference && isOfGate) parts.push(`mean ${inUnit(mean(map.values), true)}`);
    else if (map && !isDifference && Number.isFinite(map.others)) {
      parts.push(`${Math.round(100 * map.others)} % not on patches`);
    }
    if (measure) {
      const value = measure.at(layer, head);
      if (Number.isFinite(value))
        parts.push(`${measure.title.toLowerCase()} ${short(value)} ${measure.unit}`.trim());
    }
    if (frozen[layer]) parts.push("frozen");
    if (unchanged[layer]) parts.push(unchanged[layer]);
    return { title: parts.join(" · "), text: run.setup.layers[layer].path };
  }

  _clear() {
    const { canvas } = this;
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    canvas.dataset.drawn = "";
  }

  _build({ run, aspect, height, room, hasBars }) {
    const layout = new HeadsLayout(run, { aspect, height, room, hasBars });
    const { names, gaps } = layout;
    const counts = run.setup.layers.map(headsOf);
    const size = [room, height, aspect.toFixed(3), hasBars];
    const signature = JSON.stringify([counts, names, gaps, size]);
    if (signature === this.signature) return;
    this.signature = signature;
    this.layout = layout;
    const rows = counts.map((heads, layer) => this._row(run, layer, heads));
    this.cells.replaceChildren(...(layout.isAlone ? [] : this._columns()), ...rows);
    this.cells.setAttribute("aria-label", areAllGates(run) ? "Gates" : "Layers and heads");
    const [width, tall] = layout.total;
    this.width = Math.min(room, width);
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.canvas, { width: width * ratio, height: tall * ratio });
    for (const { style } of [this.body, this.canvas])
      Object.assign(style, { width: `${width}px`, height: `${tall}px` });
  }

  /** Returns the names above the columns. */
  _columns() {
    const { layout } = this;
    const ofMean = layout.isNarrow ? "all" : "mean";
    const corner = this._label("layer", "heads-corner", 0, 0, layout.label - 6, layout.top);
    const labels = Array.from({ length: layout.columns + 1 }, (_, c) =>
      this._label(c ? String(c) : ofMean, "heads-column", layout.x(c), 0, layout.width, layout.top),
    );
    return [corner, ...labels];
  }

  _label(text, name, left, top, width, height) {
    const label = el("div", { class: name, text, "aria-hidden": "true" });
    place(label, left, top, width, height);
    return label;
  }

  _row(run, layer, heads) {
    const { layout } = this;
    const row = el("div", { role: "row", class: "heads-row", data: { layer } });
    const { path } = run.setup.layers[layer];
    const isOfGate = isGate(run.setup.layers[layer]);
    const mark = this._label("", "heads-layer", 0, layout.y(layer), layout.label - 6, layout.tall);
    mark.append(el("span", { text: layout.names[layer] }));
    const { grid } = (isOfGate && run.gates.get(path)) || {};
    if (grid && layout.tall >= 2 * LINE) {
      mark.append(el("small", { text: `${grid[0]} × ${grid[1]}` }));
    }
    row.append(mark);
    for (let column = 0; column <= heads; column += 1) {
      const head = column ? column - 1 : null;
      const cell = el("button", {
        type: "button",
        role: "gridcell",
        class: "heads-cell",
        tabindex: -1,
        data: { layer, head: column ? head : "mean" },
      });
      place(cell, layout.x(column), layout.y(layer), layout.width, layout.tall + layout.bar);
      row.append(cell);
    }
    return row;
  }

  /** Returns a canvas of what is shown with its numbers, drawn `scale` times as fine. */
  picture(scale, color) {
    return headsPicture(scale, color, this.layout, this.view);
  }

  _mark(view) {
    const { run, selection, frozen, unchanged, changed, best } = view;
    const { layer: chosen, head: chosenHead } = selection;
    const signature = JSON.stringify([
      chosen,
      chosenHead,
      frozen,
      unchanged,
      changed,
      best?.layer,
      best?.head,
      this.signature,
    ]);
    if (signature === this.marked) return;
    this.marked = signature;
    const focus = this.cells.contains(document.activeElement) ? document.activeElement : null;
    for (const row of this.cells.querySelectorAll(".heads-row")) {
      const layer = Number(row.dataset.layer);
      row.classList.toggle("is-frozen", Boolean(frozen[layer]));
      row.classList.toggle("is-changed", layer === changed);
      const name = row.firstChild.firstChild;
      setText(name, `${markOf(view, layer)}${this.layout.names[layer]}`);
      name.title = titleOf(run.setup.layers[layer], unchanged[layer]);
      for (const cell of row.querySelectorAll("button")) {
        const head = cell.dataset.head === "mean" ? null : Number(cell.dataset.head);
        const words = [placeName(run, layer, head), unchanged[layer]];
        cell.setAttribute("aria-label", words.filter(Boolean).join(", "));
        const isChosen = layer === selection.layer && head === selection.head;
        cell.setAttribute("aria-selected", String(isChosen));
        cell.classList.toggle(
          "is-best",
          best !== null && best.layer === layer && best.head === head,
        );
        const isFirst = selection.layer === null && layer === 0 && head === null;
        if (!focus) cell.tabIndex = isChosen || isFirst ? 0 : -1;
      }
    }
  }

  _listen() {
    const cellOf = ({ target }) => target.closest?.("button.heads-cell");
    const placeOf = ({ dataset }) => [
      Number(dataset.layer),
      dataset.head === "mean" ? null : Number(dataset.head),
    ];
    keepFocus(this.cells);
    this.cells.addEventListener("click", (event) => {
      const cell = cellOf(event);
      if (cell) this.onPick(...placeOf(cell));
    });
    const tell = (event) => {
      const cell = cellOf(event);
      if (cell) this.tip.show(cell, this.describe(...placeOf(cell)));
      else this.tip.hide();
    };
    this.cells.addEventListener("pointerover", tell);
    this.cells.addEventListener("focusin", tell);
    this.cells.addEventListener("pointerleave", () => this.tip.hide());
    this.cells.addEventListener("focusout", () => this.tip.hide());
    this.cells.addEventListener("keydown", (event) => this._key(event, cellOf(event)));
  }

  _key(event, cell) {
    const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const move = moves[event.key];
    if (!cell || !move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const rows = [...this.cells.querySelectorAll(".heads-row")];
    const row = rows[Number(cell.dataset.layer) + move[0]];
    const column = [...cell.parentNode.querySelectorAll("button")].indexOf(cell) + move[1];
    const next = row?.querySelectorAll("button")[column];
    if (!next) return;
    cell.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

/** Returns what a cell is of, in words. */
function placeName(run, layer, head) {
  const name = capitalized(layerName(run, layer));
  if (isGate(run.setup.layers[layer])) return name;
  return `${name}, ${head === null ? "mean of heads" : `head ${head + 1}`}`;
}

/** Returns what the pointer is told of a layer's name. */
function titleOf(layer, unchanged) {
  return [isGate(layer) ? layer.path : null, unchanged].filter(Boolean).join(" · ");
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function place(node, left, top, width, height) {
  Object.assign(node.style, {
    left: `${left}px`,
    top: `${top}px`,
    width: `${width}px`,
    height: `${height}px`,
  });
}
