// @ts-check
/** The page around this one: TensorBoard's address, its dark mode and its reloads. */

import { formatHash, parseHash } from "./state.js";

/** @import { Pairs } from "./state.js" */

const TAB = "attention";
const PREFIX = `p.${TAB}.`;
const ANSWER_MS = 3000;
const POLL_MS = 30000;

/** Returns TensorBoard's window, or this one where the page stands alone or may not look out. */
function hostWindow() {
  try {
    if (window.parent.location.hash !== undefined && window.parent.document) return window.parent;
  } catch {
    // A foreign page around this one.
  }
  return window;
}

const host = hostWindow();

/** Returns the pairs that the address has for this tab. */
export function readAddress() {
  return parseHash(host.location.hash, PREFIX).pairs;
}

/**
 * Puts pairs into the address, unless another tab is shown; no new entry in the history.
 *
 * @param {Pairs} pairs
 */
export function writeAddress(pairs) {
  const { others } = parseHash(host.location.hash, PREFIX);
  if (others.length === 0) others.push(TAB);
  if (others[0] !== TAB) return;
  const hash = formatHash(others, pairs, PREFIX);
  if (hash !== host.location.hash) host.history.replaceState(host.history.state, "", hash);
}

/** Returns the whole address as a person can share it. */
export function address() {
  return host.location.href;
}

/**
 * Calls back with the pairs when a person changes the address.
 *
 * @param {(pairs: Pairs) => void} callback
 */
export function followAddress(callback) {
  host.addEventListener("hashchange", () => {
    const { others, pairs } = parseHash(host.location.hash, PREFIX);
    if (others[0] === TAB && Object.keys(pairs).length) callback(pairs);
  });
}

/**
 * Keeps `data-theme` of the document as the host is: `light` or `dark`.
 *
 * @param {() => void} callback called when it changes.
 */
export function followTheme(callback) {
  const apply = () => {
    const body = host.document.body;
    const theme = body?.classList.contains("dark-mode") ? "dark" : "light";
    if (document.documentElement.dataset.theme === theme) return;
    document.documentElement.dataset.theme = theme;
    callback();
  };
  new MutationObserver(apply).observe(host.document.body, {
    attributes: true,
    attributeFilter: ["class"],
  });
  apply();
}

/**
 * Calls back when TensorBoard has reloaded its data; every 30 s where it doesn't say so.
 *
 * @param {() => void} callback
 */
export function followReloads(callback) {
  let answers = false;
  if (window.parent !== window) {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      answers = true;
      if (message.isReply) return;
      port1.postMessage(
        JSON.stringify({
          type: message.type,
          id: message.id,
          payload: null,
          error: null,
          isReply: true,
        }),
      );
      if (message.type === "experimental.DataReloaded") callback();
    };
    window.parent.postMessage("experimental.bootstrap", "*", [port2]);
    port1.postMessage(
      JSON.stringify({
        type: "experimental.GetRuns",
        id: 0,
        payload: null,
        error: null,
        isReply: false,
      }),
    );
  }
  setTimeout(() => {
    if (!answers) setInterval(() => document.hidden || callback(), POLL_MS);
  }, ANSWER_MS);
}
