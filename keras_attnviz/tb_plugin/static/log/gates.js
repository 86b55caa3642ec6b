/** Gates of convolutional networks: which layers and values are theirs, and their names. */

const LONGEST = 26; // letters of a name

/** Whether a layer of the setup is a spatial gate, whose values are absolute: 0 closed, 1 open. */
export const isGate = (layer) => layer.is_absolute === true;

/** Whether all maps of layers are gates. */
export const areAllGates = ({ setup }) => setup.layers.length > 0 && setup.layers.every(isGate);

/** Whether the model has tokens; logs that know of no gates are of such models. */
export function hasTokens({ setup }) {
  return !setup.gates?.length || setup.layers.some((layer) => !isGate(layer));
}

/** Whether anything tells where the model looks. */
export const hasMaps = ({ setup }) => setup.methods.length > 0 || setup.layers.length > 0;

/** Whether a patch may be asked where its token attends, in a layer or, if null, by a method. */
export function asksPatches(run, layer) {
  return hasTokens(run) && (layer === null || !isGate(run.setup.layers[layer]));
}

/** Whether the values of a map are those of gates, rather than times uniform. */
export function isAbsolute({ setup }, { method, layer }) {
  if (layer !== null) return isGate(setup.layers[layer]);
  return Boolean(setup.absolute_methods?.includes(method));
}

/** Returns `layer 3` or `gate where`. */
export function layerName({ setup, gates }, layer) {
  const found = setup.layers[layer];
  return isGate(found) ? `gate ${gates.get(found.path).name}` : `layer ${layer + 1}`;
}

/** Returns a text with a capital letter. */
export const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/**
 * Returns what is known of gates by their layer's path: `{name, index, grid}`, the name a short
 * form of the path, the index that of the series with an axis of gates, -1 where it has none.
 */
export function gatesByPath({ gates, layers }) {
  const described = new Map((gates ?? []).map(({ path, grid }, index) => [path, { index, grid }]));
  for (const { path } of layers.filter(isGate)) {
    if (!described.has(path)) described.set(path, { index: -1, grid: null });
  }
  const names = shortNames([...described.keys()]);
  [...described.values()].forEach((gate, i) => Object.assign(gate, { name: names[i] }));
  return described;
}

/** Returns paths without the folders that all begin with, and the words that all end with. */
export function shortNames(paths) {
  const names = withoutCommon(paths, "/", (parts, count) => parts.slice(count), 0);
  const cut = (parts, count) => parts.slice(0, parts.length - count);
  return ["/", "_"].reduce((all, sign) => withoutCommon(all, sign, cut, -1), names).map(clipped);
}

/** Returns texts without the parts between signs that all have at an end; at least one stays. */
function withoutCommon(texts, sign, cut, end) {
  const split = texts.map((text) => text.split(sign));
  const most = texts.length > 1 || end === 0 ? Math.min(...split.map((all) => all.length)) - 1 : 0;
  let count = 0;
  const isCommon = (at) => new Set(split.map((parts) => parts.at(at))).size === 1;
  while (count < most && isCommon(end === 0 ? count : end - count)) count += 1;
  return split.map((parts) => cut(parts, count).join(sign));
}

function clipped(name) {
  const letters = [...name];
  if (letters.length <= LONGEST) return name;
  const half = Math.floor(LONGEST / 2);
  return `${letters.slice(0, half - 1).join("")}…${letters.slice(-half).join("")}`;
}
