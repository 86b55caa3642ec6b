/** What is on screen as one flat object, and as the key-value pairs of an address. */

export const DEFAULTS = Object.freeze({
  run: "",
  probe: 0,
  step: null, // null: the last
  method: "",
  layer: null, // null: over the layers of the method
  head: null, // null: the mean of the heads
  patch: null, // [x, y] on the token grid; null: the read-out
  compare: "", // "": nothing; "epoch": another epoch of the run; "run": another run
  run2: "",
  step2: null, // null: the baseline, or with another run the same step
  gap: null, // of linked sliders, B less A as chosen; null: as they stand
  linked: null, // whether the sliders move together; null: with another run only
  colors: "",
  opacity: null,
  display: "smooth", // or "patches"
  scale: "fixed", // or "image", "shared"
  limit: null,
  gateLimit: null, // the same of gates, whose values are absolute
  measure: "", // series whose values stand under the small multiples
  wrong: false, // whether only wrongly predicted probes are in the strip
  speed: 4,
});

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
const BOOLEANS = ["linked", "wrong"];
const CHOICES = {
  compare: ["", "epoch", "run"],
  display: ["smooth", "patches"],
  scale: ["fixed", "image", "shared"],
};

/** Returns the pairs of what differs from the defaults, as an object of strings. */
export function toPairs(state) {
  const pairs = {};
  for (const [key, value] of Object.entries(state)) {
    if (!(key in DEFAULTS) || value === DEFAULTS[key] || value === null) continue;
    if (key === "patch") pairs[key] = value.join(",");
    else if (BOOLEANS.includes(key)) pairs[key] = value ? "1" : "0";
    else pairs[key] = String(value);
  }
  return pairs;
}

/** Returns the state that pairs describe; what makes no sense is as by default. */
export function fromPairs(pairs) {
  const state = { ...DEFAULTS };
  for (const [key, text] of Object.entries(pairs)) {
    if (!(key in DEFAULTS)) continue;
    if (NUMBERS.includes(key)) {
      if (text.trim() !== "" && Number.isFinite(Number(text))) state[key] = Number(text);
    } else if (BOOLEANS.includes(key)) state[key] = text === "1";
    else if (key === "patch") {
      const match = /^(\d{1,5}),(\d{1,5})$/.exec(text);
      if (match) state.patch = [Number(match[1]), Number(match[2])];
    } else if (key in CHOICES) {
      if (CHOICES[key].includes(text)) state[key] = text;
    } else state[key] = text;
  }
  return state;
}

/** Returns an address's hash split into the tab and the pairs whose keys begin with `prefix`. */
export function parseHash(hash, prefix) {
  const others = [];
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

/** Returns a hash with other parts as they were, and pairs under `prefix`. */
export function formatHash(others, pairs, prefix) {
  const own = Object.entries(pairs).map(
    ([key, value]) => `${encodeURIComponent(prefix + key)}=${encodeURIComponent(value)}`,
  );
  return `#${[...others, ...own].join("&")}`;
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
