/** How the values of gates are spread at the chosen epoch: a row a gate, a column an interval. */

import { el, setText } from "../lib/dom.js";

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
   * Shows `[{run, step, name}]`, one or two; what has no gates is left out. Returns whether
   * anything is shown.
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

function describedSeries({ setup }) {
  const found = setup.series.find(({ name }) => name === SERIES);
  return setup.gates?.length && found?.axes[1] === "bin" ? found : null;
}

class Distribution {
  constructor(tip) {
    this.tip = tip;
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
    this.canvas.addEventListener("pointermove", (event) => this._tell(event));
    this.canvas.addEventListener("pointerleave", () => this.tip.hide());
    this.rows.addEventListener("scroll", () => this.tip.hide(), { passive: true });
  }

  show({ run, step, name }, dark) {
    const { title, description } = describedSeries(run);
    this.run = run;
    this.array = run.array(step, `series/${SERIES}`);
    setText(this.title, String(title));
    setText(this.side, name);
    setText(this.about, `${description ?? ""} The darker, the more.`.trim());
    if (dark) setText(this.about, this.about.textContent.replace("darker", "brighter"));
    this.about.title = this.about.textContent;
    this._build();
    this._draw(dark);
    this.canvas.dataset.drawn = `${run.name}|${step}`;
    this.canvas.setAttribute("aria-label", this._inWords(name));
  }

  /** Lays out the names, only where they or their number differ. */
  _build() {
    const { gates } = this.run.setup;
    this.tall = gates.length > MANY ? LOW : TALL;
    if (this.built === this.run.gates) return;
    this.built = this.run.gates;
    const { tall } = this;
    this.names.replaceChildren(
      ...gates.map(({ path, kind }) => {
        const text = this.run.gates.get(path).name;
        const node = el("span", { text, title: `${path} · ${kind}` });
        node.style.lineHeight = `${tall}px`;
        return node;
      }),
    );
    this.canvas.style.height = `${gates.length * tall}px`;
  }

  _draw(dark) {
    const { canvas, array, tall } = this;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(canvas.clientWidth * ratio), canvas.clientHeight * ratio];
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    const context = canvas.getContext("2d");
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

  _tell({ clientX, clientY }) {
    const { array, canvas, tall } = this;
    const box = canvas.getBoundingClientRect();
    if (!array || !box.width) return;
    const [gates, bins] = array.shape;
    const bin = Math.floor(((clientX - box.left) / box.width) * bins);
    const gate = Math.floor((clientY - box.top) / tall);
    if (bin < 0 || gate < 0 || bin >= bins || gate >= gates) {
      this.tip.hide();
      return;
    }
    const cell = new DOMRect(
      box.left + (bin * box.width) / bins,
      box.top + gate * tall,
      box.width / bins,
      tall,
    );
    const { path } = this.run.setup.gates[gate];
    const share = (100 * array.data[gate * bins + bin]).toFixed(1);
    const title = `${this.run.gates.get(path).name} · ${interval(bin, bins)}: ${share} %`;
    this.tip.show({ getBoundingClientRect: () => cell }, { title, text: path });
  }

  /** Returns the picture in words: for each gate, where most of its values lie. */
  _inWords(name) {
    const { array, run } = this;
    if (!array) return `${this.title.textContent}: no values`;
    const bins = array.shape[1];
    const most = run.setup.gates.map(({ path }, gate) => {
      const shares = array.data.subarray(gate * bins, (gate + 1) * bins);
      const bin = shares.reduce((best, share, i) => (share > shares[best] ? i : best), 0);
      return `${run.gates.get(path).name} mostly ${interval(bin, bins)}`;
    });
    return [this.title.textContent, name, most.join(", ")].filter(Boolean).join(": ");
  }
}

/** Returns an interval of [0, 1] in words. */
function interval(bin, bins) {
  return `${(bin / bins).toFixed(2)} to ${((bin + 1) / bins).toFixed(2)}`;
}
