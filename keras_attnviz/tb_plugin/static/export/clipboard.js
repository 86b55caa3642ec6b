/** The clipboard, which browsers don't give to every page, and what is there else. */

import { el } from "../lib/dom.js";

/** Copies a text; returns a promise of whether it could be. */
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
 * asks all the same, the browser tells of an error on the console.
 */
function isAllowed() {
  const policy = document.permissionsPolicy ?? document.featurePolicy;
  return Boolean(navigator.clipboard) && policy?.allowsFeature?.("clipboard-write") !== false;
}
