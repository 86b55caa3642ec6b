// @ts-check
/** The clipboard, which browsers don't give to every page, and what is there else. */

import { el } from "../lib/dom.js";

/** @typedef {{allowsFeature: (name: string) => boolean}} Policy */
/** @typedef {Document & {permissionsPolicy?: Policy, featurePolicy?: Policy}} Policies */

/**
 * Copies a text; returns a promise of whether it could be.
 *
 * @param {string} text
 */
export async function copyText(text) {
  if (isAllowed()) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // A person or the browser's settings refuse it.
    }
  }
  const area = el("textarea", { class: "off-screen" });
  area.value = text;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  return isCopied;
}

/**
 * Only https and localhost have a clipboard. A frame in a notebook is often refused it; where it
 * asks all the same, the browser shows an error on the console.
 */
function isAllowed() {
  // Chromium alone has it; the types of the DOM know neither of its names.
  const { permissionsPolicy, featurePolicy } = /** @type {Policies} */ (document);
  const policy = permissionsPolicy ?? featurePolicy;
  return Boolean(navigator.clipboard) && policy?.allowsFeature?.("clipboard-write") !== false;
}
