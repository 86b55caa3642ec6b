/** The state as it holds for the runs at hand: nothing left open, nothing out of range. */

import { areAllGates, asksPatches, hasMaps, isAbsolute, isGate } from "../log/gates.js";
import { methodFor } from "../log/maps.js";

/**
 * @param {Object} state see state.js.
 * @param {Run} run
 * @param {?Run} other the run compared with.
 * @returns {Object} `{a, b, selection, opacity, colors, display, scale, limit, gateLimit, linked,
 *     ...}`; `a` and `b` are `{run, step, probe}`, `b` null where nothing is compared.
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
  const compared = state.compare === "epoch" ? run : other;
  const isCompared = state.compare === "epoch" || (state.compare === "run" && other);
  const b = isCompared
    ? {
        run: compared,
        probe: sameProbe(run, probe, compared),
        step: secondStep(state, a, compared),
      }
    : null;
  return {
    a,
    b,
    gap: b && chosenGap(state, a, b),
    selection: {
      method,
      layer,
      head,
      patch,
    },
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

/** Returns the changes of state when the slider of A, or of B, is moved to a step. */
export function moved(shown, step, isSecond) {
  const { a, b, linked, gap } = shown;
  if (!b || !linked) return { ...(isSecond ? { step2: step } : { step }), gap: null };
  // Where one run ends before the other, it waits there, and what was chosen still holds.
  return isSecond
    ? { step: a.run.nearest(step - gap), step2: step, gap }
    : { step, step2: b.run.nearest(step + gap), gap };
}

/** Returns by how much B is to be ahead of A: shown, it may be less where a run ends. */
function chosenGap(state, a, b) {
  if (Number.isInteger(state.gap)) return state.gap;
  return state.compare === "run" && state.step2 === null ? 0 : b.step - a.step;
}

function secondStep(state, a, run) {
  if (state.step2 !== null) return run.nearest(state.step2);
  return state.compare === "run" ? run.nearest(a.step) : (run.baseline ?? run.steps[0]);
}

/** Another run may have its probes in another order: the name decides, else the place. */
function sameProbe(run, probe, other) {
  const { name } = run.setup.probes[probe];
  const index = other.setup.probes.findIndex((each) => each.name === name);
  return index >= 0 ? index : Math.min(probe, other.setup.probes.length - 1);
}

function within(index, count) {
  return Number.isInteger(index) && index >= 0 && index < count ? index : null;
}

const bounded = (value, low, high) => Math.min(high, Math.max(low, value));
