// @ts-check
/** What is on screen as one flat object, and as the key-value pairs of an address. */

/**
 * @typedef {Object} State
 * @property {string} run
 * @property {number} probe
 * @property {number | null} step null: the last.
 * @property {string} method
 * @property {number | null} layer null: over the layers of the method.
 * @property {number | null} head null: the mean of the heads.
 * @property {number[] | null} patch `[x, y]` on the token grid; null: the read-out.
 * @property {"" | "epoch" | "run"} compare nothing, another epoch of the run, or another run.
 * @property {string} run2
 * @property {number | null} step2 null: the baseline, or with another run the same step.
 * @property {number | null} gap of linked sliders, B less A as chosen; null: as they stand.
 * @property {boolean | null} linked whether the sliders move together; null: with another run only.
 * @property {string} colors
 * @property {number | null} opacity
 * @property {"smooth" | "patches"} display
 * @property {"fixed" | "image" | "shared"} scale
 * @property {number | null} limit
 * @property {number | null} gateLimit the same of gates, whose values are absolute.
 * @property {string} measure series whose values stand under the small multiples.
 * @property {boolean} wrong whether only wrongly predicted probes are in the strip.
 * @property {number} speed
 */

/** @typedef {Object<string, string>} Pairs */

/** @type {Readonly<State>} */
export const DEFAULTS = Object.freeze({
  run: "",
  probe: 0,
  step: null,
  method: "",
  layer: null,
  head: null,
  patch: null,
  compare: "",
  run2: "",
  step2: null,
  gap: null,
  linked: null,
  colors: "",
  opacity: null,
  display: "smooth",
  scale: "fixed",
  limit: null,
  gateLimit: null,
  measure: "",
  wrong: false,
  speed: 4,
});

/** @type {(keyof State)[]} */
const NUMBERS = [
  "probe",
  "step",
  "step2",
  "gap",
  "layer",
  "head",
  "opacity",
  "limit",
  "gateLimit",
  "speed",
];
/** @type {(keyof State)[]} */
const BOOLEANS = ["linked", "wrong"];
/** @type {{[Key in keyof State]?: State[Key][]}} */
const CHOICES = {
  compare: ["", "epoch", "run"],
  display: ["smooth", "patches"],
  scale: ["fixed", "image", "shared"],
};

/**
 * Whether a text is a name of the state.
 *
 * @param {string} key
 * @returns {key is keyof State}
 */
const isKey = (key) => Object.hasOwn(DEFAULTS, key);

/**
 * Returns the pairs of what differs from the defaults.
 *
 * @param {State} state
 */
export function toPairs(state) {
  /** @type {Pairs} */
  const pairs = {};
  for (const [key, value] of Object.entries(state)) {
    if (!isKey(key) || value === DEFAULTS[key] || value === null) continue;
    if (Array.isArray(value)) pairs[key] = value.join(",");
    else if (typeof value === "boolean") pairs[key] = value ? "1" : "0";
    else pairs[key] = String(value);
  }
  return pairs;
}

/**
 * Returns the state that pairs describe; what makes no sense is as by default.
 *
 * @param {Pairs} pairs
 * @returns {State}
 */
export function fromPairs(pairs) {
  const known = Object.entries(pairs).flatMap(([key, text]) => {
    const value = isKey(key) ? parsed(key, text) : undefined;
    return value === undefined ? [] : [[key, value]];
  });
  return { ...DEFAULTS, ...Object.fromEntries(known) };
}

/**
 * Returns the value that a text of an address gives, or undefined where it makes no sense.
 *
 * @param {keyof State} key
 * @param {string} text
 */
function parsed(key, text) {
  if (NUMBERS.includes(key)) {
    return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : undefined;
  }
  if (BOOLEANS.includes(key)) return text === "1";
  if (key === "patch") {
    const match = /^(\d{1,5}),(\d{1,5})$/.exec(text);
    return match ? [Number(match[1]), Number(match[2])] : undefined;
  }
  const choices = CHOICES[key];
  return choices ? choices.find((choice) => choice === text) : text;
}

/**
 * Returns an address's hash split into the tab and the pairs whose keys begin with `prefix`.
 *
 * @param {string} hash
 * @param {string} prefix
 */
export function parseHash(hash, prefix) {
  /** @type {string[]} */
  const others = [];
  /** @type {Pairs} */
  const pairs = {};
  for (const part of hash.replace(/^#/, "").split("&")) {
    const at = part.indexOf("=");
    const key = at < 0 ? part : decode(part.slice(0, at));
    if (at >= 0 && key.startsWith(prefix))
      pairs[key.slice(prefix.length)] = decode(part.slice(at + 1));
    else if (part) others.push(part);
  }
  return { others, pairs };
}

/**
 * Returns a hash with other parts as they were, and pairs under `prefix`.
 *
 * @param {string[]} others
 * @param {Pairs} pairs
 * @param {string} prefix
 */
export function formatHash(others, pairs, prefix) {
  const own = Object.entries(pairs).map(
    ([key, value]) => `${encodeURIComponent(prefix + key)}=${encodeURIComponent(value)}`,
  );
  return `#${[...others, ...own].join("&")}`;
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
