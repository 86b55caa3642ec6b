/** Where the small multiples stand: a row a layer, first the mean of its heads, then the heads. */

export const LABEL = 34;
export const TOP = 18;
export const BAR = 5;
const GAP = 2;
const MEAN_GAP = 8;
const SMALL = 26; // pixels of a square map's side; smaller ones only where there is no room
const NARROW = 26; // pixels of width that the word "mean" takes

/** Returns the width that the maps of a run need at least to be looked at. */
export function smallestGrid({ setup }, aspect) {
  const columns = Math.max(...setup.layers.map(({ heads }) => heads)) + 1;
  return LABEL + MEAN_GAP + columns * (smallWidth(aspect) + GAP);
}

/** Maps that are not square take as much room as square ones. */
const smallWidth = (aspect) => SMALL / Math.sqrt(aspect);

export class HeadsLayout {
  /**
   * @param {number[]} counts heads of each layer.
   * @param {{aspect, height, room, hasBars}} view a map's height over its width, the pixels that
   *     all of it may take, and whether a bar stands under each map.
   */
  constructor(counts, { aspect, height, room, hasBars }) {
    this.rows = counts.length;
    this.columns = Math.max(...counts);
    this.bar = hasBars ? BAR : 0;
    const widest = (room - LABEL - MEAN_GAP) / (this.columns + 1) - GAP;
    const fitting = ((height - TOP) / this.rows - GAP - this.bar) / aspect;
    const wanted = Math.min(96, Math.max(fitting, smallWidth(aspect)));
    this.width = Math.floor(Math.max(16, Math.min(widest, wanted)));
    this.tall = Math.max(10, Math.round(this.width * aspect));
  }

  /** Whether a map is too narrow for the word "mean" above it. */
  get isNarrow() {
    return this.width < NARROW;
  }

  /** Returns where a column begins; the first is that of the means. */
  x(column) {
    return LABEL + column * (this.width + GAP) + (column > 0 ? MEAN_GAP : 0);
  }

  y(layer) {
    return TOP + layer * (this.tall + GAP + this.bar);
  }

  /** `[width, height]` of all of it, in pixels. */
  get total() {
    return [this.x(this.columns) + this.width + 2, this.y(this.rows)];
  }
}
