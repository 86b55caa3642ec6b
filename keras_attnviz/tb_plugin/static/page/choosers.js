// @ts-check
/** The choosers above the pictures: what is shown, and how it is drawn. */

import { el, fillSelect, setText } from "../lib/dom.js";
import { MAP_NAMES } from "../lib/paint.js";
import { areAllGates, gateOf, hasTokens, isAbsolute, isGate } from "../log/gates.js";
import { layersText, methodName, percent, runTitle } from "./words.js";

/** @import { Run } from "../log/run.js" */
/** @import { Shown } from "../state/resolve.js" */
/** @import { State } from "../state/state.js" */

/** @typedef {(changes: Partial<State>) => void} OnChange called with what a person changes. */

/** Of another comparison, what was chosen for the last one doesn't hold. */
const UNCHOSEN = { step2: null, gap: null, linked: null };
/** @type {{value: State["scale"], label: string}[]} */
const SCALES = [
  { value: "fixed", label: "fixed over epochs" },
  { value: "image", label: "each picture's own" },
  { value: "shared", label: "shared between panes" },
];

const LIMIT = {
  min: 0.5,
  max: 1000,
  step: 0.5,
  unit: "× uniform",
  title: "The value of the highest color, in times uniform attention",
};
const GATE_LIMIT = {
  min: 0.05,
  max: 1,
  step: 0.05,
  unit: "gate value",
  title: "The gate value of the highest color; 1 is a gate that lets everything through",
};

/**
 * Returns a select in its label.
 *
 * @param {string} id
 * @param {string} label
 * @param {(value: string) => void} onPick
 */
function chooser(id, label, onPick) {
  const select = el("select", { id, on: { change: () => onPick(select.value) } });
  const name = el("span", { text: label });
  return { root: el("label", { class: "field", for: id }, name, select), name, select };
}

/** What is shown: run, comparison, method, layer, head. */
export class Choosers {
  /**
   * @param {HTMLElement} container
   * @param {OnChange} onChange
   */
  constructor(container, onChange) {
    this.run = chooser("run", "Run", (run) => onChange({ run }));
    this.compare = chooser("compare", "Compare with", (value) =>
      onChange(
        value.startsWith("run:")
          ? { compare: "run", run2: value.slice(4), ...UNCHOSEN }
          : { compare: value === "epoch" ? "epoch" : "", run2: "", ...UNCHOSEN },
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

  /**
   * Shows what can be chosen, and what is.
   *
   * @param {Pick<State, "compare" | "run2"> & Shown["selection"]} state
   * @param {{run: string}[]} runs
   * @param {Run} run
   */
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
    this.method.root.hidden = run.setup.methods.length < (hasTokens(run) ? 1 : 2);
    this.method.root.classList.toggle("is-aside", state.layer !== null);
    const { layers } = run.setup;
    const isOfGates = isAbsolute(run, { method: state.method, layer: null });
    setText(this.layer.name, areAllGates(run) ? "Gate" : "Layer");
    this.layer.root.hidden = !layers.length;
    fillSelect(
      this.layer.select,
      [
        {
          value: "",
          label: layersText(run, state.method) || (isOfGates ? "all gates" : "the method's"),
        },
        ...layers.map((layer, i) => ({
          value: i,
          label: `${isGate(layer) ? gateOf(run, layer).name : i + 1}${
            layer.trainable ? "" : " (frozen)"
          }`,
          title: layer.path,
          group: isGate(layer) && !areAllGates(run) ? "Gates" : undefined,
        })),
      ],
      state.layer ?? "",
    );
    const chosen = state.layer === null ? null : layers[state.layer];
    const hasHeads = chosen !== null && !isGate(chosen);
    const heads = hasHeads ? chosen.heads : 0;
    this.head.root.hidden = layers.every(isGate);
    fillSelect(
      this.head.select,
      [
        { value: "", label: hasHeads ? "mean of heads" : "all heads" },
        ...Array.from({ length: heads }, (_, i) => ({ value: i, label: String(i + 1) })),
      ],
      state.head ?? "",
    );
    this.head.select.disabled = !hasHeads;
  }
}

/** How it is drawn: opacity, color map, smooth or by patches, scale. */
export class Looks {
  /**
   * @param {HTMLElement} container
   * @param {OnChange} onChange
   */
  constructor(container, onChange) {
    this.isAbsolute = false;
    this.opacity = el("input", { type: "range", id: "opacity", min: 0, max: 1, step: 0.05 });
    this.opacity.addEventListener("input", () => onChange({ opacity: this.opacity.valueAsNumber }));
    this.colors = chooser("colors", "Colors", (colors) => onChange({ colors }));
    fillSelect(
      this.colors.select,
      MAP_NAMES.map((value) => ({ value, label: value })),
      "",
    );
    /** @type {State["display"][]} */
    const displays = ["smooth", "patches"];
    this.display = displays.map((value) => {
      const input = el("input", { type: "radio", name: "display", value, id: `display-${value}` });
      input.addEventListener("change", () => onChange({ display: value }));
      const words = el("span", { text: value });
      const root = el("label", { for: `display-${value}` }, input, words);
      return { value, input, words, root };
    });
    this.scale = chooser("scale", "Scale", (value) =>
      onChange({ scale: SCALES.find((scale) => scale.value === value)?.value }),
    );
    fillSelect(this.scale.select, SCALES, "fixed");
    this.limit = el("input", { type: "number", id: "limit" });
    this.limit.addEventListener("change", () => {
      const limit = this.limit.valueAsNumber;
      if (limit > 0) onChange(this.isAbsolute ? { gateLimit: limit } : { limit });
    });
    this.limitUnit = el("span", { id: "limit-unit" });
    this.limitField = el(
      "label",
      { class: "field", for: "limit" },
      el("span", { text: "Up to" }),
      this.limit,
      this.limitUnit,
    );
    this._describeLimit(false);
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

  /**
   * Shows how it is drawn.
   *
   * @param {Shown} shown
   */
  show({ a, opacity, colors, display, scale, limit, gateLimit, isAbsolute: isOfGates }) {
    setText(this.display[1].words, hasTokens(a.run) ? "patches" : "cells");
    if (this.opacity.valueAsNumber !== opacity) this.opacity.value = String(opacity);
    this.opacity.style.setProperty("--share", String(opacity));
    this.opacity.setAttribute("aria-valuetext", percent(opacity));
    this.colors.select.value = colors;
    for (const { value, input } of this.display) input.checked = value === display;
    this.scale.select.value = scale;
    this.limitField.hidden = scale !== "fixed";
    const isBeingTyped = document.activeElement === this.limit && this.isAbsolute === isOfGates;
    if (this.isAbsolute !== isOfGates) this._describeLimit(isOfGates);
    if (!isBeingTyped) this.limit.value = String(isOfGates ? gateLimit : limit);
  }

  /** @param {boolean} isOfGates */
  _describeLimit(isOfGates) {
    const { min, max, step, unit, title } = isOfGates ? GATE_LIMIT : LIMIT;
    this.isAbsolute = isOfGates;
    Object.assign(this.limit, { min, max, step });
    this.limitField.title = title;
    setText(this.limitUnit, unit);
  }
}
