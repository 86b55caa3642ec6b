// @ts-check
/** What the first picture needs, asked for while the rest of the page is still on its way. */

import { fetchRuns } from "../log/api.js";
import { Blobs } from "../log/blobs.js";
import { Run } from "../log/run.js";
import { readAddress } from "./host.js";
import { fromPairs } from "./state.js";

/** @import { State } from "./state.js" */

/** @typedef {ReturnType<typeof fetchRuns>} Runs */

/**
 * @typedef {Object} Early
 * @property {State} state
 * @property {Blobs} blobs
 * @property {Runs} runs
 * @property {Promise<Run | null>} opened the run of the address, or the first one.
 */

/**
 * Asks for the runs, for one of them, and for its first picture and maps.
 *
 * @returns {Early}
 */
export function askEarly() {
  const state = fromPairs(readAddress());
  const blobs = new Blobs();
  const runs = fetchRuns();
  const opened = open(state, blobs, runs);
  // The page asks again, and says what goes wrong.
  runs.catch(() => {});
  opened.catch(() => {});
  return { state, blobs, runs, opened };
}

/**
 * Opens the run of the address, or else the first; what the list hasn't is not asked for.
 *
 * @param {State} state
 * @param {Blobs} blobs
 * @param {Runs} runs
 */
async function open(state, blobs, runs) {
  const names = (await runs).map(({ run }) => run);
  const name = names.includes(state.run) ? state.run : names[0];
  return name ? begin(await Run.open(name, blobs), state) : null;
}

/**
 * Asks for the probe's picture and maps; what is asked for again later is the same answer.
 *
 * @param {Run} run
 * @param {State} state
 */
function begin(run, { probe, method, layer }) {
  const { setup } = run;
  const first = probe in setup.probes ? probe : 0;
  const ignore = () => {};
  if (!setup.probes.length) return run;
  run.picture(first).catch(ignore);
  if (layer === null && setup.methods.length) {
    run
      .heat(setup.methods.includes(method) ? method : setup.methods[0], first)
      .promise.catch(ignore);
  }
  if (setup.layers.length) run.keys("heads", first).promise.catch(ignore);
  return run;
}
