/** The plugin's routes; keras_attnviz/tb_plugin/http_api.md describes them. */

import { splitFrames, unpack } from "./format.js";

/** An answer that isn't there: the network's fault has no `status`, the server's has. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

async function get(route, parameters = []) {
  const query = parameters.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
  let response;
  try {
    response = await fetch(query ? `./${route}?${query}` : `./${route}`);
  } catch {
    throw new ApiError("TensorBoard does not answer.");
  }
  if (!response.ok) {
    const text = (await response.text()).slice(0, 300);
    throw new ApiError(text || `TensorBoard answered ${response.status}.`, response.status);
  }
  return response;
}

const json = async (...request) => (await get(...request)).json();
const bytes = async (...request) => (await get(...request)).arrayBuffer();

/** Returns `[{run, last_step}]`. */
export async function fetchRuns() {
  return (await json("runs")).runs;
}

export function fetchSetup(run) {
  return json("setup", [["run", run]]);
}

/** Returns the `epoch` records in the order of steps. */
export async function fetchEpochs(run) {
  return splitFrames(await bytes("epochs", [["run", run]])).map(unpack);
}

/** Returns `{steps, heat, "heat/highest"}` of all steps. */
export async function fetchHeat(run, method, probe) {
  const query = [
    ["run", run],
    ["method", method],
    ["probe", probe],
  ];
  return unpack(await bytes("heat", query)).arrays;
}

/** Returns `{keys, kept}`: a map from step to blob key, and a list of `{step, key}` by steps. */
export async function fetchKeys(run, kind, probe, { method, layer }) {
  const query = [
    ["run", run],
    ["kind", kind],
    ["probe", probe],
  ];
  if (kind === "tokens") query.push(["method", method]);
  if (kind === "full") query.push(["layer", layer]);
  const { steps, keys, kept } = await json("keys", query);
  return {
    keys: new Map(steps.map((step, i) => [step, keys[i]])),
    kept: kept.steps.map((step, i) => ({ step, key: kept.keys[i] })),
  };
}

/** Returns the blobs of some keys, in their order. */
export async function fetchBlobs(keys) {
  return splitFrames(
    await bytes(
      "blobs",
      keys.map((key) => ["key", key]),
    ),
  );
}
