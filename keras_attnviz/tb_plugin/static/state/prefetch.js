// @ts-check
/** Which blobs are worth having before a person asks for them. */

import { keysOf } from "../log/maps.js";
import { selectionFor } from "./resolve.js";

/** @import { Shown } from "./resolve.js" */

const AHEAD = 24;
const BEHIND = 8;

/**
 * Returns the keys of blobs worth having soon: those of the epochs ahead, then those behind.
 *
 * @param {Shown} shown
 * @param {number} direction 1, or -1 where a person moves back.
 */
export function keysAhead({ a, b, selection }, direction) {
  return (b ? [a, b] : [a]).flatMap((side) => {
    const at = side.run.indices.get(side.step) ?? 0;
    const steps = [];
    for (let i = 1; i <= AHEAD; i += 1) {
      steps.push(side.run.steps[at + direction * i]);
      if (i <= BEHIND) steps.push(side.run.steps[at - direction * i]);
    }
    const known = steps.filter((step) => step !== undefined);
    const own = selectionFor(selection, side);
    const heads = { ...own, patch: null, layer: 0 };
    return [...keysOf(side.run, own, known), ...keysOf(side.run, heads, known)];
  });
}
