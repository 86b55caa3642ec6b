// @ts-check
/** The color bar: colors from the lowest to the highest value, and numbers that mean something. */

import { el } from "../lib/dom.js";
import { colorTable, contextOf } from "../lib/paint.js";
import { colorTicks } from "./color_ticks.js";
import { short } from "./words.js";

/** @import { Look } from "./picture.js" */

export class ColorBar {
  /** @param {HTMLElement} container */
  constructor(container) {
    this.signature = "";
    this.canvas = el("canvas", { width: 256, height: 1, "aria-hidden": "true" });
    this.numbers = el("div", { class: "bar-numbers" });
    this.unit = el("span", { class: "bar-unit" });
    this.root = el("div", { class: "color-bar", data: { part: "color-bar" } });
    this.root.append(this.canvas, this.numbers, this.unit);
    container.append(this.root);
  }

  /**
   * Shows the colors and numbers of a look.
   *
   * @param {Look} look
   * @param {string} unit what 1 means.
   */
  update(look, unit) {
    const { colors, low, high } = look;
    const signature = `${colors} ${low} ${high} ${unit}`;
    if (signature === this.signature) return;
    this.signature = signature;
    const context = contextOf(this.canvas);
    const image = context.createImageData(256, 1);
    new Uint32Array(image.data.buffer).set(colorTable(colors));
    context.putImageData(image, 0, 0);
    this.numbers.replaceChildren(
      ...colorTicks(look).map(({ share, text }) => {
        const number = el("span", { text });
        number.style.left = `${100 * share}%`;
        if (share < 0.04) number.classList.add("at-begin");
        if (share > 0.96) number.classList.add("at-end");
        return number;
      }),
    );
    this.unit.textContent = unit;
    this.root.dataset.low = String(low);
    this.root.dataset.high = String(high);
    this.root.setAttribute("role", "img");
    this.root.setAttribute("aria-label", `Colors from ${short(low)} to ${short(high)}, ${unit}`);
  }
}
