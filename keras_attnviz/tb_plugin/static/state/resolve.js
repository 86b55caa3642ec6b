// @ts-check
/** The state as it holds for the runs at hand: nothing left open, nothing out of range. */

import { areAllGates, asksPatches, hasMaps, isAbsolute, isGate } from "../log/gates.js";
import { methodFor } from "../log/maps.js";

/** @import { ProbeSelection, Selection } from "../log/maps.js" */
/** @import { Run } from "../log/run.js" */
/** @import { State } from "./state.js" */

/**
 * A run at an epoch, and a probe; `picture` is the probe's, null while it isn't there.
 * @typedef {Object} Side
 * @property {Run} run
 * @property {number} probe
 * @property {number} step
 * @property {HTMLCanvasElement | null} [picture]
 */

/**
 * What is shown: A and, in a comparison, B.
 * @typedef {Object} Shown
 * @property {Side} a
 * @property {Side | null} b
 * @property {number} gap by how many steps B is to be ahead of A.
 * @property {Selection} selection
 * @property {boolean} isAbsolute whether what is shown has values of gates.
 * @property {number} opacity
 * @property {string} colors
 * @property {number} limit
 * @property {number} gateLimit
 * @property {number} headsLimit
 * @property {boolean} linked
 * @property {State["display"]} display
 * @property {State["scale"]} scale
 * @property {string} measure
 * @property {boolean} wrong
 * @property {number} speed
 */

/**
 * Returns what a state shows of the runs at hand.
 *
 * @param {State} state
 * @param {Run} run that has epochs.
 * @param {Run | null} other the run compared with.
 * @returns {Shown}
 */
export function resolve(state, run, other) {
  const { setup } = run;
  const probe = within(state.probe, setup.probes.length) ?? 0;
  const layer = within(state.layer, setup.layers.length);
  const hasHeads = layer !== null && !isGate(setup.layers[layer]);
  const head = hasHeads ? within(state.head, setup.layers[layer].heads) : null;
  const patch = asksPatches(run, layer) ? state.patch : null;
  const method = methodFor(setup, { method: state.method, layer, patch });
  const isOfGates = isAbsolute(run, { method, layer });
  const hasOwn = layer === null && !patch && !isOfGates;
  const ownLimit = hasOwn ? setup.colors.limits?.[method] : undefined;
  const a = { run, probe, step: state.step === null ? run.lastStep : run.nearest(state.step) };
  const compared = { "": null, epoch: run, run: other }[state.compare];
  // A run without epochs has nothing to compare with yet.
  const b = compared?.steps.length
    ? {
        run: compared,
        probe: sameProbe(run, probe, compared),
        step: secondStep(state, a, compared),
      }
    : null;
  return {
    a,
    b,
    gap: b ? chosenGap(state, a, b) : 0,
    selection: { method, layer, head, patch },
    // What is shown has values of gates; where A has no maps, that of B.
    isAbsolute: hasMaps(run) || !b ? isOfGates : areAllGates(b.run),
    opacity: bounded(state.opacity ?? setup.colors.opacity, 0, 1),
    colors: state.colors || setup.colors.map,
    limit: bounded(state.limit ?? ownLimit ?? setup.colors.limit, 1e-3, 1e6),
    gateLimit: bounded(state.gateLimit ?? 1, 1e-3, 1),
    headsLimit: bounded(state.limit ?? setup.colors.limit, 1e-3, 1e6),
    linked: state.linked ?? state.compare === "run",
    display: state.display,
    scale: state.scale,
    measure: state.measure,
    wrong: state.wrong,
    speed: bounded(state.speed, 0.1, 60),
  };
}

/**
 * Returns a selection as it holds for one side: another run may have fewer layers and heads.
 *
 * @param {Selection} selection
 * @param {{run: Run, probe: number}} side
 * @returns {ProbeSelection}
 */
export function selectionFor(selection, { run, probe }) {
  const { setup } = run;
  const isOfMethod = selection.layer === null || !setup.layers.length;
  const layer = isOfMethod ? null : Math.min(selection.layer ?? 0, setup.layers.length - 1);
  const hasHead = layer !== null && !isGate(setup.layers[layer]);
  const head = hasHead ? within(selection.head, setup.layers[layer].heads) : null;
  const patch = asksPatches(run, layer) ? selection.patch : null;
  const method = methodFor(setup, { ...selection, layer, patch });
  return { probe, layer, head, patch, method };
}

/**
 * Returns the changes of state when the slider of A, or of B, is moved to a step.
 *
 * @param {Shown} shown
 * @param {number} step
 * @param {boolean} isSecond
 * @returns {Partial<State>}
 */
export function moved(shown, step, isSecond) {
  const { a, b, linked, gap } = shown;
  if (!b || !linked) return { ...(isSecond ? { step2: step } : { step }), gap: null };
  // Where one run ends before the other, it waits there, and what was chosen still holds.
  return isSecond
    ? { step: a.run.nearest(step - gap), step2: step, gap }
    : { step, step2: b.run.nearest(step + gap), gap };
}

/**
 * Returns by how much B is to be ahead of A: shown, it may be less where a run ends.
 *
 * @param {State} state
 * @param {Side} a
 * @param {Side} b
 */
function chosenGap(state, a, b) {
  if (state.gap !== null && Number.isInteger(state.gap)) return state.gap;
  return state.compare === "run" && state.step2 === null ? 0 : b.step - a.step;
}

/**
 * @param {State} state
 * @param {Side} a
 * @param {Run} run
 */
function secondStep(state, a, run) {
  if (state.step2 !== null) return run.nearest(state.step2);
  return state.compare === "run" ? run.nearest(a.step) : (run.baseline ?? run.steps[0]);
}

/**
 * Another run may have its probes in another order: the name decides, else the place.
 *
 * @param {Run} run
 * @param {number} probe
 * @param {Run} other
 */
function sameProbe(run, probe, other) {
  const { name } = run.setup.probes[probe];
  const index = other.setup.probes.findIndex((each) => each.name === name);
  return index >= 0 ? index : Math.min(probe, other.setup.probes.length - 1);
}

/**
 * @param {number | null} index
 * @param {number} count
 */
function within(index, count) {
  if (index === null || !Number.isInteger(index)) return null;
  return index >= 0 && index < count ? index : null;
}

/** @type {(value: number, low: number, high: number) => number} */
const bounded = (value, low, high) => Math.min(high, Math.max(low, value));
