/** The epochs: a slider, a film player, and in comparisons a second slider. */

import { el, fillSelect, icon, ICONS, keepFocus, setText } from "../lib/dom.js";

export const SPEEDS = [1, 2, 4, 8, 16, 32];

export class Timeline {
  /**
   * @param {Object} handlers `onStep(step, isSecond)`, `onPlay()`, `onMove(delta)`,
   *     `onEnd(isLast)`, `onSpeed(speed)`, `onLinked(isLinked)`.
   */
  constructor(container, handlers) {
    this.handlers = handlers;
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
    input.addEventListener("input", () =>
      this.handlers.onStep(
        this[isSecond ? "second" : "first"].steps[input.valueAsNumber],
        isSecond,
      ),
    );
    return {
      root: el("div", { class: "slider" }, badge, input, name),
      badge,
      input,
      name,
      steps: [],
    };
  }

  /** Shows the epochs of A and, in a comparison, of B: `{run, step}` each. */
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
    this.speed.value = speed;
  }

  _fill(slider, { run, step }) {
    slider.steps = run.steps;
    const last = run.steps.length - 1;
    const at = run.indices.get(step) ?? last;
    slider.input.max = Math.max(0, last);
    slider.input.disabled = last < 1;
    if (slider.input.valueAsNumber !== at) slider.input.value = at;
    slider.input.style.setProperty("--share", last > 0 ? at / last : 0);
    const name = epochOf(run, step);
    slider.input.setAttribute("aria-valuetext", name);
    slider.input.dataset.step = step;
    setText(slider.name, name);
  }
}

/** Returns how a step is called: people count epochs from 1, the log from 0. */
export function epochName(run, step) {
  return run.isBaseline(step) ? "baseline" : `epoch ${step + 1}`;
}

/** Returns the same with how many there are. */
export function epochOf(run, step) {
  if (run.isBaseline(step))
    return run.lastStep >= 0 ? `baseline, before epoch ${step + 2}` : "baseline";
  return `epoch ${step + 1} of ${run.lastStep + 1}`;
}
