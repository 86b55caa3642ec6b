/** The small multiples of what is shown, what is marked in them, and the words around them. */

import { el, fillSelect, setText } from "../lib/dom.js";
import { areAllGates, isGate, layerName } from "../log/gates.js";
import { HeadsGrid } from "./head_grid.js";
import { DIFFERENCE_MAP, short } from "../lib/paint.js";
import { aspectOf } from "../page/picture_pane.js";
import { hasDrift, measureAt, measures, mostChanged } from "../log/metrics.js";
import { epochName } from "../page/timeline.js";
import { readoutOf, selectionFor } from "../page/panes.js";
import { recordAt } from "../log/references.js";

const REST = 2; // the small multiples rest this many times as long as they took,
const REST_MS = 45; // but not longer

export class Multiples {
  /**
   * @param {Object} parts the sections `grid`, `gridHead`, `legend` and `side` around them.
   * @param {{change, pickHead, draw, tip}} handlers `change(changes)`, `pickHead(layer, head)`,
   *     and `draw()`, which has all of the page shown soon.
   */
  constructor({ grid, gridHead, legend, side }, { change, pickHead, draw, tip }) {
    Object.assign(this, { side, change, draw });
    this.grids = ["a", "b", "difference"].map((name) => {
      const letter = el("span", { class: "grid-letter" });
      const root = el("div", { class: "grid-part" }, letter);
      grid.append(root);
      return { root, letter, heads: new HeadsGrid(root, name, { onPick: pickHead, tip }) };
    });
    this._head(gridHead);
    this._legend(legend);
  }

  /** Returns canvases of those that are shown, see `HeadsGrid.picture`. */
  pictures(scale, color) {
    return this.grids
      .filter(({ root }) => !root.hidden && !this.side.hidden)
      .map(({ heads }) => heads.picture(scale, color));
  }

  /** Shows them; where they take long, not at every epoch: the picture goes first. */
  soon(shown, sizes) {
    clearTimeout(this.gridding);
    const begin = performance.now();
    const wait = this.gridsAfter - begin;
    if (wait > 0) {
      this.gridding = setTimeout(() => this.draw(), wait);
      return [];
    }
    const promises = this._showAll(shown, sizes);
    const end = performance.now();
    this.gridsAfter = end + Math.min(REST_MS, REST * (end - begin));
    return promises;
  }

  /** Shows those of A, and in a comparison of B and of their difference. */
  _showAll(shown, sizes) {
    const { a, b } = shown;
    const sides = b ? [a, b] : [a];
    const records = sides.map((side) => headsRecord(side.run, side.probe, side.step));
    const isComparable = !b || sameHeads(a.run, b.run);
    const grids = sides.map((side, i) => ({
      side,
      record: records[i].record,
      isLoading: records[i].promise,
      isUnreadable: Boolean(records[i].failure),
      letter: "AB"[i],
    }));
    if (b) {
      grids.push({
        side: a,
        record: records[0].record,
        other: records[1].record,
        isLoading: records.some(({ promise }) => promise),
        letter: "A − B",
      });
    }
    const marks = grids.map((grid) => this._marks(shown, grid));
    this.grids.forEach((grid, i) => {
      grid.root.hidden = i >= grids.length || !grids[i].side.run.setup.layers.length;
      const isDifference = i === 2;
      if (grid.root.hidden || (isDifference && !isComparable)) {
        grid.root.hidden = true;
        return;
      }
      setText(grid.letter, b ? grids[i].letter : "");
      this._show(shown, sizes, grid.heads, grids[i], marks[i], isDifference);
    });
    // What is picked in them is a layer of A.
    this.side.hidden = !a.run.setup.layers.length;
    const { heads } = this.grids[0];
    if (!b && heads.width) this.side.style.width = `${Math.max(heads.width, 300)}px`;
    this._tell(shown, marks[0], isComparable, records);
    this.failure = records.find(({ failure }) => failure)?.failure ?? null;
    this.isReady = records.every(({ promise }) => !promise);
    return [...records.map(({ promise }) => promise), ...marks.map(({ promise }) => promise)];
  }

  _marks(shown, { side, record, other }) {
    const { run, probe, step } = side;
    const baseline =
      run.baseline === null || hasDrift(run) ? null : headsRecord(run, probe, run.baseline);
    return {
      changed: mostChanged(run, step, record, baseline?.record),
      measure: other !== undefined ? null : measureAt(run, shown.measure, step),
      promise: baseline?.promise,
    };
  }

  _show(shown, sizes, heads, grid, { changed, measure }, isDifference) {
    const { side, record, other, isLoading, isUnreadable } = grid;
    heads.show({
      id: `${side.run.name}|${side.step}|${side.probe}`,
      run: side.run,
      record: isDifference && !other ? null : record,
      other: isDifference ? other : null,
      difference: isDifference,
      look: {
        colors: isDifference ? DIFFERENCE_MAP : shown.colors,
        scale: shown.scale,
        limit: shown.headsLimit,
        gateLimit: shown.gateLimit,
        smooth: shown.display === "smooth",
      },
      aspect: aspectOf(side),
      selection: selectionFor(shown.selection, side),
      frozen: side.run.setup.layers.map(({ trainable }) => trainable === false),
      unchanged: isDifference ? [] : unchangedTexts(side.run, side.step),
      changed: changed?.layer ?? null,
      best: measure?.best ?? null,
      measure,
      hasBars: Boolean(shown.measure),
      height: sizes.gridHeight,
      room: sizes.grid,
      isLoading,
      message: isUnreadable ? "Single heads of this epoch can't be read." : "",
    });
  }

  _head(container) {
    this.gridTitle = el("h2", { text: "Layers and heads" });
    this.measure = el("select", {
      id: "measure",
      on: { change: () => this.change({ measure: this.measure.value }) },
    });
    this.measureField = el(
      "label",
      { class: "field", for: "measure" },
      el("span", { text: "Bars" }),
      this.measure,
    );
    container.append(this.gridTitle, el("span", { class: "space" }), this.measureField);
  }

  _legend(container) {
    const button = (id) => el("button", { type: "button", class: "plain", id, hidden: true });
    this.changed = button("most-changed");
    this.best = button("best-head");
    this.frozen = el("span", { class: "muted", id: "frozen-note", text: "gray: frozen" });
    this.unchanged = el("span", {
      class: "muted",
      id: "unchanged-note",
      text: "=: unchanged",
      title: "The same for all probes as at the epoch logged before",
    });
    this.gridNote = el("span", { class: "muted", id: "grid-note" });
    this.changed.addEventListener("click", () =>
      this.change({ layer: this.changedLayer, head: null }),
    );
    this.best.addEventListener("click", () => this.change(this.bestPlace));
    container.append(this.changed, this.best, this.frozen, this.unchanged, this.gridNote);
  }

  _tell({ a, b, selection, scale, gateLimit }, { changed, measure }, isComparable, records) {
    const { run } = a;
    const from = selection.patch ? `, from the ${readoutOf(run)}` : "";
    setText(this.gridTitle, `${titleOf(run)}${from}`);
    this.side.setAttribute("aria-label", titleOf(run));
    const choices = measures(run);
    fillSelect(
      this.measure,
      [
        { value: "", label: "none" },
        ...choices.map(({ name, title, description }) => ({
          value: name,
          label: title,
          title: description,
        })),
      ],
      measure?.name ?? "",
    );
    this.measureField.hidden = !choices.length;
    this.changed.hidden = !changed;
    if (changed) {
      this.changedLayer = changed.layer;
      setText(this.changed, `◆ ${layerName(run, changed.layer)} changed most since the baseline`);
      this.changed.title = changed.title ? `${changed.title}: ${short(changed.value)}` : "";
    }
    const best = measure?.best;
    this.best.hidden = !best;
    if (best) {
      this.bestPlace = { layer: best.layer, head: best.head };
      const place = `layer ${best.layer + 1}${best.head === null ? "" : `, head ${best.head + 1}`}`;
      setText(
        this.best,
        `○ highest ${measure.title.toLowerCase()}: ${place} (${short(best.value)})`,
      );
    }
    const sides = b ? [a, b] : [a];
    const isFrozen = ({ trainable }) => trainable === false;
    this.frozen.hidden = !sides.some((side) => side.run.setup.layers.some(isFrozen));
    this.unchanged.hidden = !sides.some(({ run, step }) =>
      run.unchangedSince(step).some((since) => since !== null),
    );
    let note = "";
    const isHybrid = !areAllGates(run) && run.setup.layers.some(isGate);
    if (isHybrid && scale === "fixed") {
      note = `Gates: from 0 to ${short(gateLimit)}, not × uniform.`;
    }
    if (!isComparable) note = "The two runs differ in layers, heads or grid.";
    else if (records.some(({ isMissing }) => isMissing))
      note = "Single heads were not logged at this epoch.";
    setText(this.gridNote, note);
  }
}

/** Returns what the section is called. */
function titleOf(run) {
  if (areAllGates(run)) return "Gates";
  return run.setup.layers.some(isGate) ? "Layers and gates" : "Layers and heads";
}

function headsRecord(run, probe, step) {
  if (!run.setup.layers.length) return { record: null, promise: null };
  return recordAt(run, run.keys("heads", probe), step);
}

/** Returns for each layer since when it has not changed, in words, or null. */
function unchangedTexts(run, step) {
  return run.unchangedSince(step).map((since) => {
    if (since === null) return null;
    return `unchanged since ${run.isBaseline(since) ? "before training" : epochName(run, since)}`;
  });
}

function sameHeads(a, b) {
  const shape = ({ setup }) =>
    JSON.stringify([setup.head_grid, setup.layers.map((each) => [each.heads, isGate(each)])]);
  return shape(a) === shape(b);
}
