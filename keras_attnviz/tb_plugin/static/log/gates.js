// @ts-check
/** Gates of convolutional networks: which layers and values are theirs, and their names. */

/** @import { Layer, Setup } from "./api.js" */

/**
 * What is known of a gate: a short name, its index in the series with an axis of gates, -1 where
 * it has none, and its grid.
 * @typedef {{name: string, index: number, grid: number[] | null}} NamedGate
 */

const LONGEST = 26; // letters of a name

/**
 * Whether a layer of the setup is a spatial gate, whose values are absolute: 0 closed, 1 open.
 *
 * @param {Layer} layer
 */
export const isGate = (layer) => layer.is_absolute === true;

/**
 * Whether all maps of layers are gates.
 *
 * @param {{setup: Setup}} run
 */
export const areAllGates = ({ setup }) => setup.layers.length > 0 && setup.layers.every(isGate);

/**
 * Whether the model has tokens; logs that know of no gates are of such models.
 *
 * @param {{setup: Setup}} run
 */
export function hasTokens({ setup }) {
  return !setup.gates?.length || setup.layers.some((layer) => !isGate(layer));
}

/**
 * Whether the log shows where the model looks.
 *
 * @param {{setup: Setup}} run
 */
export const hasMaps = ({ setup }) => setup.methods.length > 0 || setup.layers.length > 0;

/**
 * Whether a patch may be asked where its token attends, in a layer or, if null, by a method.
 *
 * @param {{setup: Setup}} run
 * @param {number | null} layer
 */
export function asksPatches(run, layer) {
  return hasTokens(run) && (layer === null || !isGate(run.setup.layers[layer]));
}

/**
 * Whether the values of a map are those of gates, rather than times uniform.
 *
 * @param {{setup: Setup}} run
 * @param {{method: string, layer: number | null}} selection
 */
export function isAbsolute({ setup }, { method, layer }) {
  if (layer !== null) return isGate(setup.layers[layer]);
  return Boolean(setup.absolute_methods?.includes(method));
}

/**
 * Returns what is known of gates by their layer's path.
 *
 * @param {Setup} setup
 * @returns {Map<string, NamedGate>}
 */
export function gatesByPath({ gates, layers }) {
  /** @type {Map<string, Omit<NamedGate, "name">>} */
  const found = new Map((gates ?? []).map(({ path, grid }, index) => [path, { index, grid }]));
  for (const { path } of layers.filter(isGate)) {
    if (!found.has(path)) found.set(path, { index: -1, grid: null });
  }
  const names = shortNames([...found.keys()]);
  return new Map([...found].map(([path, gate], i) => [path, { ...gate, name: names[i] }]));
}

/**
 * Returns a layer's gate.
 *
 * @param {{gates: Map<string, NamedGate>}} run
 * @param {{path: string}} layer that is a gate.
 * @returns {NamedGate}
 */
export function gateOf({ gates }, { path }) {
  return gates.get(path) ?? { name: path, index: -1, grid: null };
}

/**
 * Returns paths without the folders that all begin with, and the words that all end with.
 *
 * @param {string[]} paths
 * @returns {string[]}
 */
export function shortNames(paths) {
  const names = withoutCommon(paths, "/", (parts, count) => parts.slice(count), 0);
  /** @type {Cut} */
  const cut = (parts, count) => parts.slice(0, parts.length - count);
  return ["/", "_"].reduce((all, sign) => withoutCommon(all, sign, cut, -1), names).map(clipped);
}

/** @typedef {(parts: string[], count: number) => string[]} Cut */

/**
 * Returns texts without the parts between signs that all have at an end; at least one stays.
 *
 * @param {string[]} texts
 * @param {string} sign
 * @param {Cut} cut
 * @param {0 | -1} end where the parts are cut off: at the begin or at the end.
 */
function withoutCommon(texts, sign, cut, end) {
  const split = texts.map((text) => text.split(sign));
  const most = texts.length > 1 || end === 0 ? Math.min(...split.map((all) => all.length)) - 1 : 0;
  let count = 0;
  const isCommon = (/** @type {number} */ at) =>
    new Set(split.map((parts) => parts.at(at))).size === 1;
  while (count < most && isCommon(end === 0 ? count : end - count)) count += 1;
  return split.map((parts) => cut(parts, count).join(sign));
}

/** @param {string} name */
function clipped(name) {
  const letters = [...name];
  if (letters.length <= LONGEST) return name;
  const half = Math.floor(LONGEST / 2);
  return `${letters.slice(0, half - 1).join("")}…${letters.slice(-half).join("")}`;
}
