// @ts-check
/** The strip of probe images, with marks for right and wrong predictions at the chosen epoch. */

import { el, keepFocus, setText } from "../lib/dom.js";
import { countText, labelText, probeText, verdictOf } from "./words.js";

/** @import { Prediction, Run } from "../log/run.js" */
/** @import { Tip } from "./tip.js" */

/** @typedef {{button: HTMLButtonElement, image: HTMLImageElement}} Item */

export class ProbeStrip {
  /**
   * @param {HTMLElement} container
   * @param {{onPick: (probe: number) => void, onWrong: (wrong: boolean) => void, tip: Tip}} handlers
   */
  constructor(container, { onPick, onWrong, tip }) {
    this.onPick = onPick;
    this.tip = tip;
    /** @type {Run | null} */
    this.run = null;
    /** @type {Run["pictures"] | null} */
    this.pictures = null;
    this.size = 0;
    /** @type {Item[]} */
    this.items = [];
    /** @type {Prediction[]} */
    this.predictions = [];
    /** @type {string[]} of pictures */
    this.addresses = [];
    /** @type {number | null} */
    this.chosen = null;
    this.name = el("strong", { class: "probe-name" });
    this.label = el("span", { class: "probe-label" });
    this.count = el("span", { class: "probe-count" });
    this.wrong = el("input", { type: "checkbox", id: "only-wrong" });
    this.wrong.addEventListener("change", () => onWrong(this.wrong.checked));
    this.filter = el("label", { class: "check", for: "only-wrong" }, this.wrong, "only wrong ones");
    this.list = el("div", {
      class: "probe-list",
      role: "listbox",
      "aria-label": "Probe images",
      "aria-orientation": "horizontal",
    });
    container.append(
      el(
        "div",
        { class: "probe-head" },
        this.name,
        this.label,
        el("span", { class: "space" }),
        this.count,
        this.filter,
      ),
      this.list,
    );
    this._listen();
  }

  /**
   * Shows the probes of a run at a step.
   *
   * @param {Run} run
   * @param {number} step
   * @param {number} chosen index of the probe that is looked at.
   * @param {boolean} onlyWrong
   */
  show(run, step, chosen, onlyWrong) {
    if (this.run !== run || this.pictures !== run.pictures || this.size !== run.setup.probes.length)
      this._build(run);
    const { probes } = run.setup;
    const predictions = probes.map((_, probe) => run.prediction(step, probe));
    const hasFocus = this.list.contains(document.activeElement);
    this.items.forEach(({ button }, probe) => {
      const { isRight } = predictions[probe];
      const state = verdictOf(predictions[probe]);
      if (button.dataset.state !== state) button.dataset.state = state;
      const words = probeText(probes[probe].name, predictions[probe]);
      button.setAttribute("aria-label", `${words.title}. ${words.text}`);
      button.setAttribute("aria-selected", String(probe === chosen));
      button.hidden = onlyWrong && isRight !== false && probe !== chosen;
      if (!hasFocus) button.tabIndex = probe === chosen ? 0 : -1;
    });
    setText(this.name, probes[chosen].name);
    this.name.title = probes[chosen].name;
    setText(this.label, labelText(predictions[chosen].label));
    setText(this.count, countText(predictions));
    this.filter.hidden = predictions.every(({ isRight }) => isRight === null);
    this.wrong.checked = onlyWrong;
    this.predictions = predictions;
    if (this.chosen !== chosen) {
      this.chosen = chosen;
      this.items[chosen]?.button.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }

  /** @param {Run} run */
  _build(run) {
    this.run = run;
    this.pictures = run.pictures;
    this.size = run.setup.probes.length;
    this.chosen = null;
    this.addresses.forEach((address) => URL.revokeObjectURL(address));
    this.addresses = [];
    this.items = run.setup.probes.map((_, probe) => {
      const image = el("img", { alt: "", draggable: "false" });
      const mark = el("span", { class: "mark", "aria-hidden": "true" });
      const settings = { type: "button", role: "option", class: "probe", tabindex: -1 };
      return { image, button: el("button", { ...settings, data: { probe } }, image, mark) };
    });
    this.list.replaceChildren(...this.items.map(({ button }) => button));
  }

  /** Fills in the pictures that are not there yet. */
  fill() {
    const { run, addresses } = this;
    this.items.forEach(async ({ button, image }, probe) => {
      if (!run || image.src) return;
      try {
        const address = URL.createObjectURL(await run.picture(probe));
        addresses.push(address);
        image.src = address;
      } catch {
        button.classList.add("no-picture");
      }
    });
  }

  /**
   * Returns the index of the probe that an event is about, -1 where it is about none.
   *
   * @param {Event} event
   */
  _probeOf({ target }) {
    return this.items.findIndex(({ button }) => target instanceof Node && button.contains(target));
  }

  _listen() {
    keepFocus(this.list);
    this.list.addEventListener("click", (event) => {
      const probe = this._probeOf(event);
      if (probe >= 0) this.onPick(probe);
    });
    const showTip = (/** @type {Event} */ event) => {
      const probe = this._probeOf(event);
      if (probe < 0 || !this.run) return this.tip.hide();
      const { name } = this.run.setup.probes[probe];
      return this.tip.show(this.items[probe].button, probeText(name, this.predictions[probe]));
    };
    this.list.addEventListener("pointerover", showTip);
    this.list.addEventListener("focusin", showTip);
    this.list.addEventListener("pointerleave", () => this.tip.hide());
    this.list.addEventListener("focusout", () => this.tip.hide());
    this.list.addEventListener("scroll", () => this.tip.hide(), { passive: true });
    this.list.addEventListener("keydown", (event) => this._key(event));
  }

  /** @param {KeyboardEvent} event */
  _key(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    const shown = this.items.filter(({ button }) => !button.hidden);
    const next = shown[shown.indexOf(this.items[this._probeOf(event)]) + move];
    if (!next) return;
    for (const item of shown) item.button.tabIndex = item === next ? 0 : -1;
    next.button.focus();
    this.onPick(this.items.indexOf(next));
  }
}
