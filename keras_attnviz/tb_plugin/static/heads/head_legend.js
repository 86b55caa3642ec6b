// @ts-check
/** The words around the small multiples: their title, the metric of the bars, what is marked. */

import { el, fillSelect, setText } from "../lib/dom.js";
import { areAllGates, isGate } from "../log/gates.js";
import { measures } from "../log/metrics.js";
import { headName, layerName, layersTitle, readoutOf, short } from "../page/words.js";

/** @import { Changed, Measure } from "../log/metrics.js" */
/** @import { Found } from "../log/references.js" */
/** @import { Run } from "../log/run.js" */
/** @import { Shown } from "../state/resolve.js" */
/** @import { State } from "../state/state.js" */

/** @typedef {{changed: Changed | null, measure: Measure | null, promise: Found["promise"]}} Marks */

/** @typedef {(changes: Partial<State>) => void} Change */

/** The line above them: their title, and which metric the bars show. */
export class HeadsTitle {
  /**
   * @param {HTMLElement} container
   * @param {Change} change
   */
  constructor(container, change) {
    this.title = el("h2", { text: "Layers and heads" });
    this.measure = el("select", {
      id: "measure",
      on: { change: () => change({ measure: this.measure.value }) },
    });
    const name = el("span", { text: "Bars" });
    this.field = el("label", { class: "field", for: "measure" }, name, this.measure);
    container.append(this.title, el("span", { class: "space" }), this.field);
  }

  /**
   * @param {Shown} shown
   * @param {Measure | null} measure
   */
  show({ a: { run }, selection }, measure) {
    const from = selection.patch ? `, from the ${readoutOf(run)}` : "";
    setText(this.title, `${layersTitle(run)}${from}`);
    const choices = measures(run);
    const options = choices.map(({ name, title, description }) => ({
      value: name,
      label: title,
      title: description,
    }));
    fillSelect(this.measure, [{ value: "", label: "none" }, ...options], measure?.name ?? "");
    this.field.hidden = !choices.length;
  }
}

/** The line below them: what is marked, as words that lead to it. */
export class HeadsLegend {
  /**
   * @param {HTMLElement} container
   * @param {Change} change
   */
  constructor(container, change) {
    const settings = { type: "button", class: "plain", hidden: true };
    this.changed = el("button", { ...settings, id: "most-changed" });
    this.best = el("button", { ...settings, id: "best-head" });
    this.frozen = el("span", { class: "muted", id: "frozen-note", text: "gray: frozen" });
    this.unchanged = el("span", {
      class: "muted",
      id: "unchanged-note",
      text: "=: unchanged",
      title: "The same for all probes as at the epoch logged before",
    });
    this.note = el("span", { class: "muted", id: "grid-note" });
    /** @type {Marks | null} */
    this.marks = null;
    this.changed.addEventListener("click", () => {
      const changed = this.marks?.changed;
      if (changed) change({ layer: changed.layer, head: null });
    });
    this.best.addEventListener("click", () => {
      const best = this.marks?.measure?.best;
      if (best) change({ layer: best.layer, head: best.head });
    });
    container.append(this.changed, this.best, this.frozen, this.unchanged, this.note);
  }

  /**
   * @param {Shown} shown
   * @param {Marks} marks of A.
   * @param {{isComparable: boolean, isMissing: boolean}} state
   */
  show({ a, b, scale, gateLimit }, marks, { isComparable, isMissing }) {
    const { run } = a;
    const { changed, measure } = marks;
    const best = measure?.best;
    this.marks = marks;
    this.changed.hidden = !changed;
    if (changed) {
      setText(this.changed, `◆ ${layerName(run, changed.layer)} changed most since the baseline`);
      this.changed.title = changed.title ? `${changed.title}: ${short(changed.value)}` : "";
    }
    this.best.hidden = !best;
    if (best) {
      const { layer, head, value } = best;
      const place = head === null ? layerName(run, layer) : headName(run, layer, head);
      setText(this.best, `○ highest ${measure.title.toLowerCase()}: ${place} (${short(value)})`);
    }
    const sides = b ? [a, b] : [a];
    this.frozen.hidden = !sides.some((side) => frozenLayers(side.run).some(Boolean));
    this.unchanged.hidden = !sides.some(({ run, step }) =>
      run.unchangedSince(step).some((since) => since !== null),
    );
    const isHybrid = !areAllGates(run) && run.setup.layers.some(isGate);
    let note = "";
    if (isHybrid && scale === "fixed") {
      note = `Gates: from 0 to ${short(gateLimit)}, not × uniform.`;
    }
    if (!isComparable) note = "The two runs differ in layers, heads or grid.";
    else if (isMissing) note = "Single heads were not logged at this epoch.";
    setText(this.note, note);
  }
}

/**
 * Returns for each layer whether it is frozen.
 *
 * @param {Run} run
 */
export const frozenLayers = ({ setup }) => setup.layers.map(({ trainable }) => trainable === false);
