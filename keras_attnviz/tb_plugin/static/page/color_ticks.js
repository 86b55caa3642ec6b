// @ts-check
/** The numbers along a color bar. */

import { ticks } from "../lib/paint.js";
import { short } from "./words.js";

/** @import { Look } from "./picture.js" */

/**
 * Returns numbers and where they stand, as a share of the bar; uniform attention always has its
 * number; the ends say "and more".
 *
 * @param {Pick<Look, "low" | "high" | "isFull" | "isAbsolute">} look
 */
export function colorTicks({ low, high, isFull, isAbsolute }) {
  const values = new Set(ticks(low, high, 4));
  const sign = isAbsolute ? "" : "×";
  if (low === 0 && high > 1.3 && high <= 8) values.add(1);
  if (!values.has(high)) {
    for (const value of values) {
      if (Math.min(high - value, value - low || high) < 0.13 * (high - low)) values.delete(value);
    }
    [low, high].forEach((value) => values.add(value));
  }
  const all = [...values].sort((a, b) => a - b);
  return all.map((value) => {
    let text = `${low < 0 && value > 0 ? "+" : ""}${short(value)}${value === 0 ? "" : sign}`;
    if (!isFull && value === high) text = `≥ ${text}`;
    if (!isFull && low < 0 && value === low) text = `≤ ${text}`;
    return { share: (value - low) / (high - low), text };
  });
}
