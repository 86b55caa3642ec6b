// @ts-check
/** How the values of gates are spread at the chosen epoch: a row a gate, a column an interval. */

import { el, setText } from "../lib/dom.js";
import { contextOf } from "../lib/paint.js";
import { gateOf } from "../log/gates.js";

/** @import { Setup } from "../log/api.js" */
/** @import { PackedArray } from "../log/format.js" */
/** @import { Run } from "../log/run.js" */
/** @import { Tip } from "../page/tip.js" */

/** @typedef {{run: Run, step: number, name: string}} NamedSide */
/** @typedef {{run: Run, array: PackedArray | null, tall: number}} Content */

const SERIES = "gate_distribution";
const GAP = 1;
const [TALL, LOW, MANY] = [16, 12, 12]; // pixels of a row, and of one among more than so many
const INK = { light: "32, 33, 36", dark: "241, 243, 244" };

export class Distributions {
  /** @param {HTMLElement} container @param {Tip} tip */
  constructor(container, tip) {
    this.parts = [0, 1].map(() => new Distribution(tip));
    this.root = el("div", { class: "distributions" });
    container.prepend(this.root);
  }

  /**
   * Shows one side or two; what has no gates is left out. Returns whether anything is shown.
   *
   * @param {NamedSide[]} sides
   * @param {boolean} dark
   */
  show(sides, dark) {
    const shown = sides.filter(({ run }) => describedSeries(run));
    if (this.root.childElementCount !== shown.length) {
      this.root.replaceChildren(...this.parts.slice(0, shown.length).map(({ root }) => root));
    }
    this.root.hidden = !shown.length; // before they are drawn, in the width that they then have
    shown.forEach((side, i) => this.parts[i].show(side, dark));
    return shown.length > 0;
  }
}

/** @param {{setup: Setup}} run */
function describedSeries({ setup }) {
  const found = setup.series.find(({ name }) => name === SERIES);
  return setup.gates?.length && found?.axes[1] === "bin" ? found : null;
}

class Distribution {
  /** @param {Tip} tip */
  constructor(tip) {
    this.tip = tip;
    /** @type {Content | null} */
    this.content = null;
    /** @type {Run["gates"] | null} whose names are laid out */
    this.built = null;
    this.title = el("span", { class: "attention-chart-title" });
    this.side = el("span", { class: "attention-chart-current" });
    this.about = el("span", { class: "attention-chart-description" });
    this.names = el("div", { class: "distribution-names", "aria-hidden": "true" });
    this.canvas = el("canvas", { role: "img" });
    const ticks = ["0", "0.5", "1"].map((text) => el("span", { text }));
    this.ticks = el("div", { class: "distribution-ticks", "aria-hidden": "true" }, ...ticks);
    this.rows = el("div", { class: "distribution-rows" }, this.names, this.canvas, this.ticks);
    this.root = el(
      "figure",
      { class: "attention-chart distribution", data: { series: SERIES } },
      el("figcaption", {}, this.title, this.side, this.about),
      this.rows,
    );
    this.canvas.addEventListener("pointermove", (event) => this._showTip(event));
    this.canvas.addEventListener("pointerleave", () => this.tip.hide());
    this.rows.addEventListener("scroll", () => this.tip.hide(), { passive: true });
  }

  /**
   * @param {NamedSide} side
   * @param {boolean} dark
   */
  show({ run, step, name }, dark) {
    const series = describedSeries(run);
    const tall = (run.setup.gates ?? []).length > MANY ? LOW : TALL;
    const content = { run, array: run.array(step, `series/${SERIES}`), tall };
    this.content = content;
    setText(this.title, String(series?.title));
    setText(this.side, name);
    const shade = `The ${dark ? "brighter" : "darker"}, the more.`;
    const about = `${series?.description ?? ""} ${shade}`.trim();
    setText(this.about, about);
    this.about.title = about;
    this._build(content);
    this._draw(content, dark);
    this.canvas.dataset.drawn = `${run.name}|${step}`;
    this.canvas.setAttribute("aria-label", inWords(String(series?.title), content, name));
  }

  /**
   * Lays out the names, only where they or their number differ.
   *
   * @param {Content} content
   */
  _build({ run, tall }) {
    if (this.built === run.gates) return;
    this.built = run.gates;
    const gates = run.setup.gates ?? [];
    this.names.replaceChildren(
      ...gates.map((gate) => {
        const text = gateOf(run, gate).name;
        const node = el("span", { text, title: `${gate.path} · ${gate.kind}` });
        node.style.lineHeight = `${tall}px`;
        return node;
      }),
    );
    this.canvas.style.height = `${gates.length * tall}px`;
  }

  /**
   * @param {Content} content
   * @param {boolean} dark
   */
  _draw({ array, tall }, dark) {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), canvas.clientHeight * ratio];
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const context = contextOf(canvas);
    context.clearRect(0, 0, width, height);
    if (!array) return;
    const [gates, bins] = array.shape;
    const ink = dark ? INK.dark : INK.light;
    for (let gate = 0; gate < gates; gate += 1) {
      for (let bin = 0; bin < bins; bin += 1) {
        const left = Math.round((bin * width) / bins);
        const wide = Math.round(((bin + 1) * width) / bins) - left;
        // The root, so that a share of a few percent is still seen.
        const share = Math.sqrt(Math.min(1, Math.max(0, array.data[gate * bins + bin] || 0)));
        context.fillStyle = `rgba(${ink}, ${(0.05 + 0.95 * share).toFixed(3)})`;
        context.fillRect(left, gate * tall * ratio, wide - GAP, (tall - GAP) * ratio);
      }
    }
  }

  /** @param {MouseEvent} event */
  _showTip({ clientX, clientY }) {
    const { array, run, tall } = this.content ?? {};
    const box = this.canvas.getBoundingClientRect();
    if (!array || !run || !tall || !box.width) return;
    const [gates, bins] = array.shape;
    const bin = Math.floor(((clientX - box.left) / box.width) * bins);
    const row = Math.floor((clientY - box.top) / tall);
    const gate = run.setup.gates?.[row];
    if (bin < 0 || bin >= bins || row >= gates || !gate) {
      this.tip.hide();
      return;
    }
    const cell = new DOMRect(
      box.left + (bin * box.width) / bins,
      box.top + row * tall,
      box.width / bins,
      tall,
    );
    const share = (100 * array.data[row * bins + bin]).toFixed(1);
    const title = `${gateOf(run, gate).name} · ${interval(bin, bins)}: ${share} %`;
    this.tip.show({ getBoundingClientRect: () => cell }, { title, text: gate.path });
  }
}

/**
 * Returns the picture in words: for each gate, where most of its values lie.
 *
 * @param {string} title
 * @param {Content} content
 * @param {string} name of the side.
 */
function inWords(title, { array, run }, name) {
  if (!array) return `${title}: no values`;
  const bins = array.shape[1];
  const most = (run.setup.gates ?? []).map((gate, row) => {
    const shares = [...array.data.subarray(row * bins, (row + 1) * bins)];
    const bin = shares.reduce((best, share, i) => (share > shares[best] ? i : best), 0);
    return `${gateOf(run, gate).name} mostly ${interval(bin, bins)}`;
  });
  return [title, name, most.join(", ")].filter(Boolean).join(": ");
}

/**
 * Returns an interval of [0, 1] in words.
 *
 * @param {number} bin
 * @param {number} bins how many there are.
 */
function interval(bin, bins) {
  return `${(bin / bins).toFixed(2)} to ${((bin + 1) / bins).toFixed(2)}`;
}
