/** The choosers above the pictures: what is shown, and how it is drawn. */

import { el, fillSelect } from "./dom.js";
import { MAP_NAMES } from "./paint.js";
import { runTitle } from "./run.js";

const SCALES = [
  { value: "fixed", label: "fixed over epochs" },
  { value: "image", label: "each picture's own" },
  { value: "shared", label: "shared between panes" },
];

/** Returns a select in its label. */
function chooser(id, label, onPick) {
  const select = el("select", { id, on: { change: () => onPick(select.value) } });
  const root = el("label", { class: "field", for: id }, el("span", { text: label }), select);
  return { root, select };
}

/** What is shown: run, comparison, method, layer, head. */
export class Choosers {
  /** @param {function} onChange called with what a person has changed in the state. */
  constructor(container, onChange) {
    this.run = chooser("run", "Run", (run) => onChange({ run }));
    this.compare = chooser("compare", "Compare with", (value) =>
      onChange(
        value.startsWith("run:")
          ? { compare: "run", run2: value.slice(4), step2: null, gap: null, linked: null }
          : { compare: value, run2: "", step2: null, gap: null, linked: null },
      ),
    );
    this.method = chooser("method", "Method", (method) =>
      onChange({ method, layer: null, head: null }),
    );
    this.layer = chooser("layer", "Layer", (value) =>
      onChange(value === "" ? { layer: null, head: null } : { layer: Number(value) }),
    );
    this.head = chooser("head", "Head", (value) =>
      onChange({ head: value === "" ? null : Number(value) }),
    );
    container.append(
      ...[this.run, this.compare, this.method, this.layer, this.head].map(({ root }) => root),
    );
  }

  show(state, runs, run) {
    const names = runs.map(({ run: name }) => name);
    fillSelect(
      this.run.select,
      names.map((name) => ({ value: name, label: runTitle(name) })),
      run.name,
    );
    this.run.select.title = run.name;
    fillSelect(
      this.compare.select,
      [
        { value: "", label: "nothing" },
        { value: "epoch", label: "another epoch", disabled: run.steps.length < 2 },
        ...names
          .filter((name) => name !== run.name)
          .map((name) => ({ value: `run:${name}`, label: runTitle(name), group: "Another run" })),
      ],
      state.compare === "run" ? `run:${state.run2}` : state.compare,
    );
    fillSelect(
      this.method.select,
      run.setup.methods.map((value) => ({ value, label: methodName(value, run) })),
      state.method,
    );
    this.method.root.classList.toggle("is-aside", state.layer !== null);
    fillSelect(
      this.layer.select,
      [
        { value: "", label: layersText(run, state.method) || "the method's" },
        ...run.setup.layers.map(({ path, trainable }, i) => ({
          value: i,
          label: `${i + 1}${trainable ? "" : " (frozen)"}`,
          title: path,
        })),
      ],
      state.layer ?? "",
    );
    const heads = state.layer === null ? 0 : run.setup.layers[state.layer].heads;
    fillSelect(
      this.head.select,
      [
        { value: "", label: state.layer === null ? "all heads" : "mean of heads" },
        ...Array.from({ length: heads }, (_, i) => ({ value: i, label: String(i + 1) })),
      ],
      state.head ?? "",
    );
    this.head.select.disabled = state.layer === null;
  }
}

/** How it is drawn: opacity, color map, smooth or by patches, scale. */
export class Looks {
  constructor(container, onChange) {
    this.opacity = el("input", { type: "range", id: "opacity", min: 0, max: 1, step: 0.05 });
    this.opacity.addEventListener("input", () => onChange({ opacity: this.opacity.valueAsNumber }));
    this.colors = chooser("colors", "Colors", (colors) => onChange({ colors }));
    fillSelect(
      this.colors.select,
      MAP_NAMES.map((value) => ({ value, label: value })),
      "",
    );
    this.display = ["smooth", "patches"].map((value) => {
      const input = el("input", { type: "radio", name: "display", value, id: `display-${value}` });
      input.addEventListener("change", () => onChange({ display: value }));
      return {
        value,
        input,
        root: el("label", { for: `display-${value}` }, input, el("span", { text: value })),
      };
    });
    this.scale = chooser("scale", "Scale", (scale) => onChange({ scale }));
    fillSelect(this.scale.select, SCALES, "fixed");
    this.limit = el("input", { type: "number", id: "limit", min: 0.5, max: 1000, step: 0.5 });
    this.limit.addEventListener("change", () => {
      if (this.limit.valueAsNumber > 0) onChange({ limit: this.limit.valueAsNumber });
    });
    this.limitField = el(
      "label",
      {
        class: "field",
        for: "limit",
        title: "The value of the highest color, in times uniform attention",
      },
      el("span", { text: "Up to" }),
      this.limit,
      el("span", { id: "limit-unit", text: "× uniform" }),
    );
    container.append(
      el(
        "label",
        { class: "field", for: "opacity" },
        el("span", { text: "Opacity" }),
        this.opacity,
      ),
      this.colors.root,
      el(
        "div",
        { class: "segments", role: "radiogroup", "aria-label": "Heatmap" },
        ...this.display.map(({ root }) => root),
      ),
      this.scale.root,
      this.limitField,
    );
  }

  show({ opacity, colors, display, scale, limit }) {
    if (this.opacity.valueAsNumber !== opacity) this.opacity.value = opacity;
    this.opacity.style.setProperty("--share", opacity);
    this.opacity.setAttribute("aria-valuetext", `${Math.round(100 * opacity)} %`);
    this.colors.select.value = colors;
    for (const { value, input } of this.display) input.checked = value === display;
    this.scale.select.value = scale;
    this.limitField.hidden = scale !== "fixed";
    if (document.activeElement !== this.limit) this.limit.value = limit;
  }
}

/** Returns which layers the method goes through, in words: the callback's `start_layer` up. */
export function layersText({ setup }, method) {
  if (method !== "rollout") return "";
  const count = setup.layers.length;
  const start = ((setup.rollout?.start_layer ?? 0) + count) % count;
  if (start === 0) return "all layers";
  return start === count - 1 ? `layer ${count}` : `layers ${start + 1} to ${count}`;
}

/** Returns a method's name as people read it. */
export function methodName(method, { setup }) {
  const words = setup.method_titles?.[method] ?? method.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
