// @ts-check
/** The epochs: a slider, a film player, and in comparisons a second slider. */

import { el, fillSelect, ICONS, icon, keepFocus, setText } from "../lib/dom.js";
import { epochOf } from "./words.js";

/** @import { Side } from "../state/resolve.js" */

/**
 * What a person does.
 * @typedef {Object} Handlers
 * @property {(step: number, isSecond: boolean) => void} onStep
 * @property {() => void} onPlay
 * @property {(delta: number) => void} onMove
 * @property {(isLast: boolean) => void} onEnd
 * @property {(speed: number) => void} onSpeed
 * @property {(isLinked: boolean) => void} onLinked
 */

/** @typedef {ReturnType<Timeline["_slider"]>} Slider */

const SPEEDS = [1, 2, 4, 8, 16, 32];

export class Timeline {
  /**
   * @param {HTMLElement} container
   * @param {Handlers} handlers
   */
  constructor(container, handlers) {
    this.handlers = handlers;
    /** @type {(id: string, label: string, path: string, action: () => void) => HTMLElement} */
    const button = (id, label, path, action) => {
      const node = el(
        "button",
        {
          type: "button",
          id,
          class: "icon",
          "aria-label": label,
          title: label,
          on: { click: action },
        },
        icon(path),
      );
      keepFocus(node);
      return node;
    };
    this.play = button("play", "Play the film (space)", ICONS.play, () => handlers.onPlay());
    this.speed = el("select", {
      id: "speed",
      "aria-label": "Speed",
      on: { change: () => handlers.onSpeed(Number(this.speed.value)) },
    });
    fillSelect(
      this.speed,
      SPEEDS.map((speed) => ({ value: speed, label: `${speed} a second` })),
      4,
    );
    this.linked = el("input", { type: "checkbox", id: "linked" });
    this.linked.addEventListener("change", () => handlers.onLinked(this.linked.checked));
    this.link = el("label", { class: "check", for: "linked" }, this.linked, "move together");
    this.first = this._slider("epoch", "A", false);
    this.second = this._slider("epoch-b", "B", true);
    this.buttons = el(
      "div",
      { class: "player", role: "group", "aria-label": "Film" },
      button("first", "First epoch (Home)", ICONS.first, () => handlers.onEnd(false)),
      button("previous", "Previous epoch (left arrow)", ICONS.previous, () => handlers.onMove(-1)),
      this.play,
      button("next", "Next epoch (right arrow)", ICONS.next, () => handlers.onMove(1)),
      button("last", "Last epoch (End)", ICONS.last, () => handlers.onEnd(true)),
      this.speed,
    );
    container.append(
      this.buttons,
      el("div", { class: "sliders" }, this.first.root, this.second.root),
      this.link,
    );
  }

  /**
   * @param {string} id
   * @param {string} letter
   * @param {boolean} isSecond
   */
  _slider(id, letter, isSecond) {
    const badge = el("span", { class: "badge", text: letter, "aria-hidden": "true" });
    const name = el("output", { class: "epoch-name", for: id, id: `${id}-name` });
    const input = el("input", {
      type: "range",
      id,
      min: 0,
      max: 0,
      step: 1,
      "aria-label": isSecond ? "Epoch of B" : "Epoch",
    });
    const root = el("div", { class: "slider" }, badge, input, name);
    const slider = { root, badge, input, name, steps: new Int32Array() };
    input.addEventListener("input", () =>
      this.handlers.onStep(slider.steps[input.valueAsNumber], isSecond),
    );
    return slider;
  }

  /**
   * Shows the epochs of A and, in a comparison, of B.
   *
   * @param {Side} a
   * @param {Side | null} b
   * @param {{isPlaying: boolean, speed: number, isLinked: boolean}} film
   */
  show(a, b, { isPlaying, speed, isLinked }) {
    this._fill(this.first, a);
    this.first.badge.hidden = !b;
    this.second.root.hidden = !b;
    this.link.hidden = !b;
    if (b) this._fill(this.second, b);
    this.linked.checked = isLinked;
    const label = isPlaying ? "Pause the film (space)" : "Play the film (space)";
    if (this.play.getAttribute("aria-label") !== label) {
      this.play.setAttribute("aria-label", label);
      this.play.title = label;
      this.play.replaceChildren(icon(isPlaying ? ICONS.pause : ICONS.play));
    }
    this.play.setAttribute("aria-pressed", String(isPlaying));
    for (const node of this.buttons.querySelectorAll("button"))
      node.disabled = a.run.steps.length < 2;
    this.speed.value = String(speed);
  }

  /**
   * @param {Slider} slider
   * @param {Side} side
   */
  _fill(slider, { run, step }) {
    slider.steps = run.steps;
    const last = run.steps.length - 1;
    const at = run.indices.get(step) ?? last;
    slider.input.max = String(Math.max(0, last));
    slider.input.disabled = last < 1;
    if (slider.input.valueAsNumber !== at) slider.input.value = String(at);
    slider.input.style.setProperty("--share", String(last > 0 ? at / last : 0));
    const name = epochOf(run, step);
    slider.input.setAttribute("aria-valuetext", name);
    slider.input.dataset.step = String(step);
    setText(slider.name, name);
  }
}
