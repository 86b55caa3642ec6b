/** All layers and heads as small multiples: a row a layer, first the mean of its heads. */

import { headsOf } from "./maps.js";
import { el, keepFocus, setText } from "./dom.js";
import { colorize, short, times } from "./paint.js";

const LABEL = 34;
const TOP = 18;
const GAP = 2;
const MEAN_GAP = 8;
const BAR = 5;
const SMALL = 26; // pixels of a map's width; smaller ones only where there is no room

/** Returns the width that the maps of a run need at least to be looked at. */
export function smallestGrid({ setup }) {
  const columns = Math.max(...setup.layers.map(({ heads }) => heads)) + 1;
  return LABEL + MEAN_GAP + columns * (SMALL + GAP);
}

export class HeadsGrid {
  /** @param {{onPick, tip}} handlers `onPick(layer, head)`; head null is the mean. */
  constructor(container, name, { onPick, tip }) {
    this.onPick = onPick;
    this.tip = tip;
    this.atlas = document.createElement("canvas");
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
   * Draws a view: `{run, record, other, difference, look, aspect, selection, frozen, changed,
   * measure, height, room, isLoading, message}`; until a record comes the old one stays, dimmed.
   */
  show(view) {
    this.scroller.classList.toggle("is-loading", Boolean(view.isLoading));
    this.scroller.setAttribute("aria-busy", String(Boolean(view.isLoading)));
    this._build(view);
    if (view.record) this._paint(view);
    else if (view.isLoading) view.maps = this.view?.maps;
    else this._clear();
    setText(this.message, view.message);
    this.message.hidden = !view.message;
    this._mark(view);
    this.view = view;
  }

  /** Returns what is said of one cell. */
  describe(layer, head) {
    const { run, measure, maps, frozen, difference: isDifference } = this.view;
    const parts = [`Layer ${layer + 1}, ${head === null ? "mean of heads" : `head ${head + 1}`}`];
    const map = maps?.[layer]?.[head === null ? 0 : head + 1];
    if (map && !isDifference) parts.push(`highest ${times(map.highest)}`);
    if (map && !isDifference && Number.isFinite(map.others)) {
      parts.push(`${Math.round(100 * map.others)} % not on patches`);
    }
    if (measure) {
      const value = measure.at(layer, head);
      if (Number.isFinite(value))
        parts.push(`${measure.title.toLowerCase()} ${short(value)} ${measure.unit}`.trim());
    }
    if (frozen[layer]) parts.push("frozen");
    return { title: parts.join(" · "), text: run.setup.layers[layer].path };
  }

  _clear() {
    const { canvas } = this;
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    canvas.dataset.drawn = "";
  }

  _build({ run, aspect, height, room, hasBars }) {
    const counts = run.setup.layers.map(({ heads }) => heads);
    const columns = Math.max(...counts);
    const bar = hasBars ? BAR : 0;
    const signature = `${counts} ${room} ${height} ${aspect.toFixed(3)} ${bar}`;
    if (signature === this.signature) return;
    this.signature = signature;
    const widest = (room - LABEL - MEAN_GAP) / (columns + 1) - GAP;
    const fitting = ((height - TOP) / counts.length - GAP - bar) / aspect;
    const width = Math.floor(Math.max(16, Math.min(widest, Math.max(fitting, SMALL), 96)));
    const tall = Math.max(10, Math.round(width * aspect));
    this.size = { width, tall, bar, columns };
    const labels = Array.from({ length: columns + 1 }, (_, c) =>
      this._label(
        c ? String(c) : width < SMALL ? "all" : "mean",
        "heads-column",
        this._x(c),
        0,
        width,
        TOP,
      ),
    );
    const rows = counts.map((heads, layer) => this._row(layer, heads));
    const corner = this._label("layer", "heads-corner", 0, 0, LABEL - 6, TOP);
    this.cells.replaceChildren(corner, ...labels, ...rows);
    const total = [this._x(columns) + width + 2, this._y(counts.length)];
    Object.assign(this.body.style, { width: `${total[0]}px`, height: `${total[1]}px` });
    this.width = Math.min(room, total[0]);
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.canvas, { width: total[0] * ratio, height: total[1] * ratio });
    Object.assign(this.canvas.style, { width: `${total[0]}px`, height: `${total[1]}px` });
  }

  _x(column) {
    return LABEL + column * (this.size.width + GAP) + (column > 0 ? MEAN_GAP : 0);
  }

  _y(layer) {
    return TOP + layer * (this.size.tall + GAP + this.size.bar);
  }

  _label(text, name, left, top, width, height) {
    const label = el("div", { class: name, text, "aria-hidden": "true" });
    place(label, left, top, width, height);
    return label;
  }

  _row(layer, heads) {
    const row = el("div", { role: "row", class: "heads-row", data: { layer } });
    const mark = this._label(
      String(layer + 1),
      "heads-layer",
      0,
      this._y(layer),
      LABEL - 6,
      this.size.tall,
    );
    row.append(mark);
    for (let column = 0; column <= heads; column += 1) {
      const head = column ? column - 1 : null;
      const cell = el("button", {
        type: "button",
        role: "gridcell",
        class: "heads-cell",
        tabindex: -1,
        "aria-label": `Layer ${layer + 1}, ${column ? `head ${column}` : "mean of heads"}`,
        data: { layer, head: column ? head : "mean" },
      });
      place(cell, this._x(column), this._y(layer), this.size.width, this.size.tall + this.size.bar);
      row.append(cell);
    }
    return row;
  }

  /** Returns a canvas of what is shown with its numbers, drawn `scale` times as fine. */
  picture(scale, color) {
    const { view } = this;
    const canvas = document.createElement("canvas");
    const width = this._x(this.size.columns) + this.size.width + 2;
    Object.assign(canvas, {
      width: width * scale,
      height: this._y(view.run.setup.layers.length) * scale,
    });
    if (!view.maps) return canvas;
    this._draw(canvas, scale, view);
    const context = canvas.getContext("2d");
    Object.assign(context, {
      font: "11px system-ui, sans-serif",
      fillStyle: color,
      textBaseline: "middle",
    });
    context.textAlign = "center";
    for (let column = 0; column <= this.size.columns; column += 1) {
      context.fillText(
        column ? String(column) : "mean",
        this._x(column) + this.size.width / 2,
        TOP / 2,
      );
    }
    context.textAlign = "right";
    view.run.setup.layers.forEach((_, layer) => {
      const mark = layer === view.changed ? "◆ " : "";
      context.fillText(`${mark}${layer + 1}`, LABEL - 6, this._y(layer) + this.size.tall / 2);
    });
    return canvas;
  }

  /** Works the maps out, and draws them. */
  _paint(view) {
    const { run, record, other } = view;
    const maps = run.setup.layers.map(({ heads }, layer) =>
      Array.from({ length: heads + 1 }, (_, column) => {
        const map = headsOf(run, record, layer, column ? column - 1 : null);
        if (other) {
          const { values } = headsOf(run, other, layer, column ? column - 1 : null);
          map.values = map.values.map((value, i) => value - values[i]);
        }
        map.highest = map.values.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-6);
        return map;
      }),
    );
    view.maps = maps;
    this._draw(this.canvas, window.devicePixelRatio || 1, view);
    this.canvas.dataset.drawn = view.id;
  }

  _draw(canvas, ratio, { run, maps, other, look, frozen, measure }) {
    const [rows, columns] = run.setup.head_grid;
    const most = Math.max(...maps.flat().map((map) => map.highest));
    const count = this.size.columns + 1;
    const [width, height] = [columns * count, rows * maps.length];
    if (this.atlas.width !== width) this.atlas.width = width;
    if (this.atlas.height !== height) this.atlas.height = height;
    const painter = this.atlas.getContext("2d", { willReadFrequently: true });
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingEnabled = look.smooth;
    const image = painter.createImageData(columns, rows);
    const pixels = new Uint32Array(image.data.buffer);
    maps.forEach((row, layer) =>
      row.forEach((map, column) => {
        const fixed = other ? look.limit / 2 : look.limit;
        const high = { fixed, shared: most, image: map.highest }[look.scale];
        const colors = frozen[layer] && !other ? "gray" : look.colors;
        colorize(map.values, pixels, { colors, low: other ? -high : 0, high });
        painter.putImageData(image, column * columns, layer * rows);
      }),
    );
    maps.forEach((row, layer) =>
      row.forEach((map, column) => {
        const { width: wide, tall } = this.size;
        const [x, y] = [this._x(column), this._y(layer)];
        context.globalAlpha = frozen[layer] ? 0.55 : 1;
        context.drawImage(
          this.atlas,
          column * columns,
          layer * rows,
          columns,
          rows,
          x,
          y,
          wide,
          tall,
        );
        context.globalAlpha = 1;
        if (measure)
          this._bar(context, measure, measure.at(layer, column ? column - 1 : null), x, y);
      }),
    );
  }

  _bar(context, { low, high }, value, x, y) {
    const { width, tall } = this.size;
    const style = getComputedStyle(this.body);
    context.fillStyle = style.getPropertyValue("--track");
    context.fillRect(x, y + tall + 1, width, BAR - 2);
    if (!Number.isFinite(value) || high <= low) return;
    const share = Math.min(1, Math.max(0, (value - low) / (high - low)));
    context.fillStyle = style.getPropertyValue("--bar");
    context.fillRect(x, y + tall + 1, Math.max(1, width * share), BAR - 2);
  }

  _mark({ selection, frozen, changed, best }) {
    const { layer: chosen, head: chosenHead } = selection;
    const signature = JSON.stringify([
      chosen,
      chosenHead,
      frozen,
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
      setText(row.firstChild, `${layer === changed ? "◆ " : ""}${layer + 1}`);
      for (const cell of row.querySelectorAll("button")) {
        const head = cell.dataset.head === "mean" ? null : Number(cell.dataset.head);
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

function place(node, left, top, width, height) {
  Object.assign(node.style, {
    left: `${left}px`,
    top: `${top}px`,
    width: `${width}px`,
    height: `${height}px`,
  });
}
