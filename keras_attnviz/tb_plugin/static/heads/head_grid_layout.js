// @ts-check
/**
 * Where the small multiples stand: a row a layer, first the mean of its heads, then the heads. The
 * row of a gate is its map alone.
 */

import { areAllGates, gateOf, isGate } from "../log/gates.js";

/** @import { Layer } from "../log/api.js" */
/** @import { Run } from "../log/run.js" */

/**
 * A map's height over its width, the pixels that all maps may take down and across, and whether a
 * bar stands under each map.
 * @typedef {{aspect: number, height: number, room: number, hasBars: boolean}} Room
 */

export const BAR = 5;
const LABEL = 34;
const TOP = 18;
const LETTER = 6; // pixels of a gate's name, a letter
const NAMES = [56, 166]; // pixels that the names of gates take, at least and at most
const STAGE_GAP = 8;
const LARGEST = 96; // pixels of a map's side,
const LARGEST_ALONE = 144; // where a row is one map alone
const GAP = 2;
const MEAN_GAP = 8;
const SMALL = 26; // pixels of a square map's side; smaller ones only where there is no room
const NARROW = 26; // pixels of width that the word "mean" takes

/**
 * Returns the width that the maps of a run need at least to be looked at.
 *
 * @param {Run} run
 * @param {number} aspect
 */
export function smallestGrid(run, aspect) {
  if (!run.setup.layers.length) return 0;
  const columns = Math.max(...run.setup.layers.map(headCount)) + 1;
  return labelWidth(run) + MEAN_GAP + columns * (smallWidth(aspect) + GAP);
}

/**
 * Returns how the rows are called: layers by their number, gates by their name.
 *
 * @param {Run} run
 */
function rowNames(run) {
  return run.setup.layers.map((layer, i) =>
    isGate(layer) ? gateOf(run, layer).name : String(i + 1),
  );
}

/**
 * Returns how many maps of single heads a layer's row has.
 *
 * @param {Layer} layer
 */
export const headCount = (layer) => (isGate(layer) ? 0 : layer.heads);

/** @param {Run} run */
function labelWidth(run) {
  if (!run.setup.layers.some(isGate)) return LABEL;
  const longest = Math.max(...rowNames(run).map(({ length }) => length));
  return Math.min(NAMES[1], Math.max(NAMES[0], 10 + LETTER * longest));
}

/**
 * Returns for each row how many gaps stand before it: one before each stage of gates.
 *
 * @param {Run} run
 */
function gapsBefore(run) {
  const { layers } = run.setup;
  let count = 0;
  const stages = layers.map((layer) => (isGate(layer) ? String(gateOf(run, layer).grid) : null));
  return stages.map((stage, i) => {
    if (i && stage !== stages[i - 1]) count += 1;
    return count;
  });
}

/**
 * Maps that are not square take as much room as square ones.
 *
 * @param {number} aspect
 */
const smallWidth = (aspect) => SMALL / Math.sqrt(aspect);

export class HeadsLayout {
  /**
   * @param {Run} run
   * @param {Room} view
   */
  constructor(run, { aspect, height, room, hasBars }) {
    this.names = rowNames(run);
    this.rows = this.names.length;
    this.columns = Math.max(...run.setup.layers.map(headCount));
    this.bar = hasBars ? BAR : 0;
    this.label = labelWidth(run);
    this.isAlone = areAllGates(run);
    this.top = this.isAlone ? 2 : TOP;
    this.gaps = gapsBefore(run);
    const forMaps = height - this.top - STAGE_GAP * (this.gaps.at(-1) ?? 0);
    const widest = (room - this.label - MEAN_GAP) / (this.columns + 1) - GAP;
    const fitting = (forMaps / this.rows - GAP - this.bar) / aspect;
    const largest = this.isAlone ? LARGEST_ALONE : LARGEST;
    const wanted = Math.min(largest, Math.max(fitting, smallWidth(aspect)));
    this.width = Math.floor(Math.max(16, Math.min(widest, wanted)));
    this.tall = Math.max(10, Math.round(this.width * aspect));
  }

  /** Whether a map is too narrow for the word "mean" above it. */
  get isNarrow() {
    return this.width < NARROW;
  }

  /**
   * Returns where a column begins; the first is that of the means.
   *
   * @param {number} column
   */
  x(column) {
    return this.label + column * (this.width + GAP) + (column > 0 ? MEAN_GAP : 0);
  }

  /**
   * Returns where a layer's row begins.
   *
   * @param {number} layer
   */
  y(layer) {
    const gaps = this.gaps[Math.min(layer, this.rows - 1)];
    return this.top + layer * (this.tall + GAP + this.bar) + STAGE_GAP * gaps;
  }

  /** `[width, height]` of all of it, in pixels. */
  get total() {
    return [this.x(this.columns) + this.width + 2, this.y(this.rows)];
  }
}
