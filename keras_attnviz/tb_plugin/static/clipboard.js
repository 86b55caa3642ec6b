/** The clipboard, which browsers only give to https and localhost, and what is there else. */

import { el } from "./dom.js";

/** Copies a text; returns a promise of whether it could be. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = el("textarea", { class: "off-screen" });
    area.value = text;
    document.body.append(area);
    area.select();
    const isCopied = document.execCommand("copy");
    area.remove();
    return isCopied;
  }
}
