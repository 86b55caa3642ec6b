// @ts-check
/** The small multiples of what is shown: of A and, in a comparison, of B and their difference. */

import { el, setText } from "../lib/dom.js";
import { DIFFERENCE_MAP } from "../lib/paint.js";
import { isGate } from "../log/gates.js";
import { hasDrift, measureAt, mostChanged } from "../log/metrics.js";
import { recordAt } from "../log/references.js";
import { aspectOf } from "../page/picture.js";
import { layersTitle, unchangedText } from "../page/words.js";
import { selectionFor } from "../state/resolve.js";
import { HeadsGrid } from "./head_grid.js";
import { frozenLayers, HeadsLegend, HeadsTitle } from "./head_legend.js";

/** @import { Found, WholeRecord } from "../log/references.js" */
/** @import { Run } from "../log/run.js" */
/** @import { Parts } from "../page/layout.js" */
/** @import { Tip } from "../page/tip.js" */
/** @import { Shown, Side } from "../state/resolve.js" */
/** @import { Change, Marks } from "./head_legend.js" */

/** @typedef {{gridHeight: number, grid: number}} Sizes pixels that a grid may take. */

/**
 * One grid: a side's heads or, with `other`, the difference from those of B.
 * @typedef {Object} Grid
 * @property {Side} side
 * @property {WholeRecord | null} record
 * @property {WholeRecord | null} other
 * @property {boolean} isDifference
 * @property {boolean} isLoading
 * @property {boolean} isUnreadable
 * @property {string} letter
 */

/**
 * What a person does: `draw` has all of the page shown soon.
 * @typedef {Object} Handlers
 * @property {Change} change
 * @property {(layer: number, head: number | null) => void} pickHead
 * @property {() => void} draw
 * @property {Tip} tip
 */

/** @type {Found} */
const NONE = { record: null, promise: null };
const REST = 2; // the small multiples rest this many times as long as they took,
const REST_MS = 45; // but not longer

export class Multiples {
  /**
   * @param {Pick<Parts, "grid" | "gridHead" | "legend" | "side">} parts the sections around them.
   * @param {Handlers} handlers
   */
  constructor({ grid, gridHead, legend, side }, { change, pickHead, draw, tip }) {
    this.side = side;
    this.draw = draw;
    /** @type {Error | null} why something can't be read */
    this.failure = null;
    this.isReady = false;
    this.gridsAfter = 0;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.gridding = undefined;
    this.grids = ["a", "b", "difference"].map((name) => {
      const letter = el("span", { class: "grid-letter" });
      const root = el("div", { class: "grid-part" }, letter);
      grid.append(root);
      return { root, letter, heads: new HeadsGrid(root, name, { onPick: pickHead, tip }) };
    });
    this.head = new HeadsTitle(gridHead, change);
    this.legend = new HeadsLegend(legend, change);
  }

  /**
   * Returns canvases of those that are shown, see `HeadsGrid.picture`.
   *
   * @param {number} scale
   * @param {string} color of the numbers.
   */
  pictures(scale, color) {
    return this.grids
      .filter(({ root }) => !root.hidden && !this.side.hidden)
      .map(({ heads }) => heads.picture(scale, color))
      .filter((picture) => picture !== null);
  }

  /**
   * Shows them; where they take long, not at every epoch: the picture goes first.
   *
   * @param {Shown} shown
   * @param {Sizes} sizes
   * @returns {(Promise<unknown> | null)[]} of what is still to come.
   */
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

  /**
   * Shows those of A, and in a comparison of B and of their difference.
   *
   * @param {Shown} shown
   * @param {Sizes} sizes
   */
  _showAll(shown, sizes) {
    const { a, b } = shown;
    const sides = b ? [a, b] : [a];
    const records = sides.map((side) => headsRecord(side.run, side.probe, side.step));
    const isComparable = !b || sameHeads(a.run, b.run);
    const grids = gridsOf(sides, records);
    const marks = grids.map((grid) => marksOf(shown, grid));
    this.grids.forEach(({ root, letter, heads }, i) => {
      const grid = grids[i];
      root.hidden = !grid?.side.run.setup.layers.length || (grid.isDifference && !isComparable);
      if (root.hidden) return;
      setText(letter, b ? grid.letter : "");
      heads.show(viewOf(shown, sizes, grid, marks[i]));
    });
    // What is picked in them is a layer of A.
    this.side.hidden = !a.run.setup.layers.length;
    this.side.setAttribute("aria-label", layersTitle(a.run));
    const { heads } = this.grids[0];
    if (!b && heads.width) this.side.style.width = `${Math.max(heads.width, 300)}px`;
    this.head.show(shown, marks[0].measure);
    const isMissing = records.some((record) => record.isMissing);
    this.legend.show(shown, marks[0], { isComparable, isMissing });
    this.failure = records.find(({ failure }) => failure)?.failure ?? null;
    this.isReady = records.every(({ promise }) => !promise);
    return [...records.map(({ promise }) => promise), ...marks.map(({ promise }) => promise)];
  }
}

/**
 * Returns the grids of A or, in a comparison, of A, B and their difference.
 *
 * @param {Side[]} sides
 * @param {Found[]} records of the sides.
 * @returns {Grid[]}
 */
function gridsOf(sides, records) {
  const grids = sides.map((side, i) => ({
    side,
    record: records[i].record,
    other: null,
    isDifference: false,
    isLoading: Boolean(records[i].promise),
    isUnreadable: Boolean(records[i].failure),
    letter: "AB"[i],
  }));
  if (grids.length < 2) return grids;
  const [a, b] = grids;
  const difference = {
    side: a.side,
    record: b.record && a.record,
    other: b.record,
    isDifference: true,
    isLoading: a.isLoading || b.isLoading,
    isUnreadable: false,
    letter: "A − B",
  };
  return [...grids, difference];
}

/**
 * Returns what is marked in a grid.
 *
 * @param {Shown} shown
 * @param {Grid} grid
 * @returns {Marks}
 */
function marksOf(shown, { side, record, isDifference }) {
  const { run, probe, step } = side;
  const { baseline } = run;
  const compared = baseline === null || hasDrift(run) ? NONE : headsRecord(run, probe, baseline);
  return {
    changed: mostChanged(run, step, record, compared.record),
    measure: isDifference ? null : measureAt(run, shown.measure, step),
    promise: compared.promise,
  };
}

/**
 * Returns what a grid shows.
 *
 * @param {Shown} shown
 * @param {Sizes} sizes
 * @param {Grid} grid
 * @param {Marks} marks
 */
function viewOf(shown, sizes, grid, { changed, measure }) {
  const { side, record, other, isDifference, isLoading, isUnreadable } = grid;
  const { run, step, probe } = side;
  return {
    id: `${run.name}|${step}|${probe}`,
    run,
    record,
    other,
    isDifference,
    look: {
      colors: isDifference ? DIFFERENCE_MAP : shown.colors,
      scale: shown.scale,
      limit: shown.headsLimit,
      gateLimit: shown.gateLimit,
      smooth: shown.display === "smooth",
    },
    aspect: aspectOf(side),
    selection: selectionFor(shown.selection, side),
    frozen: frozenLayers(run),
    unchanged: isDifference ? [] : unchangedTexts(run, step),
    changed: changed?.layer ?? null,
    best: measure?.best ?? null,
    measure,
    hasBars: Boolean(shown.measure),
    height: sizes.gridHeight,
    room: sizes.grid,
    isLoading,
    message: isUnreadable ? "Single heads of this epoch can't be read." : "",
  };
}

/**
 * Returns the record of a probe's heads at a step.
 *
 * @param {Run} run
 * @param {number} probe
 * @param {number} step
 */
function headsRecord(run, probe, step) {
  return run.setup.layers.length ? recordAt(run, run.keys("heads", probe), step) : NONE;
}

/**
 * Returns for each layer since when it has not changed, in words, or null.
 *
 * @param {Run} run
 * @param {number} step
 */
function unchangedTexts(run, step) {
  return run
    .unchangedSince(step)
    .map((since) => (since === null ? null : unchangedText(run, since)));
}

/**
 * Whether the heads of two runs can be compared.
 *
 * @param {Run} a
 * @param {Run} b
 */
function sameHeads(a, b) {
  const shape = (/** @type {Run} */ { setup }) =>
    JSON.stringify([setup.head_grid, setup.layers.map((each) => [each.heads, isGate(each)])]);
  return shape(a) === shape(b);
}
