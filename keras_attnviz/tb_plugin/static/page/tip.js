// @ts-check
/** One small text beside what the pointer is on or the keyboard has focused. */

import { el } from "../lib/dom.js";

export class Tip {
  constructor() {
    this.title = el("div", { class: "tip-title" });
    this.text = el("div", { class: "tip-text" });
    this.root = el("div", { class: "tip", role: "tooltip", hidden: true }, this.title, this.text);
    document.body.append(this.root);
  }

  /**
   * Shows a text.
   *
   * @param {{getBoundingClientRect: () => DOMRect}} anchor what it is about.
   * @param {{title: string, text: string}} words
   */
  show(anchor, { title, text }) {
    this.title.textContent = title;
    this.text.textContent = text;
    this.root.hidden = false;
    const box = anchor.getBoundingClientRect();
    const own = this.root.getBoundingClientRect();
    const left = Math.min(
      window.innerWidth - own.width - 8,
      Math.max(8, box.left + box.width / 2 - own.width / 2),
    );
    const below = box.bottom + 6;
    const top = below + own.height > window.innerHeight - 4 ? box.top - own.height - 6 : below;
    Object.assign(this.root.style, { left: `${left}px`, top: `${top}px` });
  }

  hide() {
    this.root.hidden = true;
  }
}
