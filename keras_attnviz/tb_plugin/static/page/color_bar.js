/** The color bar: colors from the lowest to the highest value, and numbers that mean something. */

import { el } from "../lib/dom.js";
import { colorTable, short, ticks } from "../lib/paint.js";

export class ColorBar {
  constructor(container) {
    this.canvas = el("canvas", { width: 256, height: 1, "aria-hidden": "true" });
    this.numbers = el("div", { class: "bar-numbers" });
    this.unit = el("span", { class: "bar-unit" });
    this.root = el("div", { class: "color-bar", data: { part: "color-bar" } });
    this.root.append(this.canvas, this.numbers, this.unit);
    container.append(this.root);
  }

  /** Shows a scale `{colors, low, high, isFull, isAbsolute}`; `unit` says what 1 means. */
  update(look, unit) {
    const { colors, low, high } = look;
    const signature = `${colors} ${low} ${high} ${unit}`;
    if (signature === this.signature) return;
    this.signature = signature;
    const context = this.canvas.getContext("2d");
    const image = context.createImageData(256, 1);
    new Uint32Array(image.data.buffer).set(colorTable(colors));
    context.putImageData(image, 0, 0);
    this.numbers.replaceChildren(
      ...scaleTicks(look).map(({ share, text }) => {
        const number = el("span", { text });
        number.style.left = `${100 * share}%`;
        if (share < 0.04) number.classList.add("at-begin");
        if (share > 0.96) number.classList.add("at-end");
        return number;
      }),
    );
    this.unit.textContent = unit;
    this.root.dataset.low = low;
    this.root.dataset.high = high;
    this.root.setAttribute("role", "img");
    this.root.setAttribute("aria-label", `Colors from ${short(low)} to ${short(high)}, ${unit}`);
  }
}

/** Returns `[{share, text}]`; uniform attention always has its number; the ends say "and more". */
export function scaleTicks({ low, high, isFull = false, isAbsolute = false }) {
  const values = new Set(ticks(low, high, 4));
  const sign = isAbsolute ? "" : "×";
  if (low === 0 && high > 1.3 && high <= 8) values.add(1);
  if (!values.has(high)) {
    for (const value of values) {
      if (Math.min(high - value, value - low || high) < 0.13 * (high - low)) values.delete(value);
    }
    [low, high].forEach((value) => values.add(value));
  }
  const all = [...values].sort((a, b) => a - b);
  return all.map((value) => {
    let text = `${low < 0 && value > 0 ? "+" : ""}${short(value)}${value === 0 ? "" : sign}`;
    if (!isFull && value === high) text = `≥ ${text}`;
    if (!isFull && low < 0 && value === low) text = `≤ ${text}`;
    return { share: (value - low) / (high - low), text };
  });
}
