// @ts-check
/** Files of what is on screen: one picture, or a film of all epochs. */

import { Unreadable } from "../log/blobs.js";
import { paneViews } from "../page/panes.js";
import { runTitle, selectionName } from "../page/words.js";
import { moved } from "../state/resolve.js";
import { composePage, fileName } from "./compose_page.js";
import { savePng } from "./files.js";

/** @import { View } from "../page/picture_pane.js" */
/** @import { Shown } from "../state/resolve.js" */
/** @import { EpochFilm } from "./film_dialog.js" */

/** @typedef {{heads: HTMLCanvasElement[], width: number}} Settings */

const FILM_WIDTH = 420;
const PICTURE_WIDTH = 640;
const TRIES = 3;

/**
 * Saves the panes and the pictures of the heads as PNG.
 *
 * @param {Shown} shown
 * @param {View[]} views
 * @param {HTMLCanvasElement[]} heads
 */
export async function saveScreen(shown, views, heads) {
  const { run, probe, step } = shown.a;
  const name = fileName("attention", run.setup.probes[probe].name, `step ${step}`);
  return savePng(compose(shown, views, { heads, width: PICTURE_WIDTH }), `${name}.png`);
}

/**
 * Returns a film: every epoch of A, the panes as they are now.
 *
 * @param {Shown} shown
 * @returns {EpochFilm}
 */
export function filmOf(shown) {
  const { run, probe } = shown.a;
  return {
    count: run.steps.length,
    speed: shown.speed,
    name: fileName("attention", run.setup.probes[probe].name),
    frame: async (i) => {
      const at = atStep(shown, run.steps[i]);
      return compose(at, await viewsOf(at), { heads: [], width: FILM_WIDTH });
    },
  };
}

/**
 * @param {Shown} shown
 * @param {number} step
 * @returns {Shown}
 */
function atStep(shown, step) {
  const { step2 } = moved(shown, step, false);
  const b = shown.b && step2 != null ? { ...shown.b, step: step2 } : shown.b;
  return { ...shown, a: { ...shown.a, step }, b };
}

/**
 * The blobs come after their keys, so this asks more than once; what can't be read is left out.
 *
 * @param {Shown} shown
 */
async function viewsOf(shown) {
  let found = paneViews(shown);
  for (let i = 0; found.promise && i < TRIES; i += 1) {
    await found.promise.catch((error) => {
      if (!(error instanceof Unreadable)) throw error;
    });
    found = paneViews(shown);
  }
  return found.views;
}

/**
 * @param {Shown} shown
 * @param {View[]} views
 * @param {Settings} settings
 */
function compose(shown, views, { heads, width }) {
  const { run, probe } = shown.a;
  const name = selectionName(run, shown.selection);
  return composePage({
    title: run.setup.probes[probe].name,
    subtitle: [name, runTitle(run.name)].filter(Boolean).join(" · "),
    panes: views.map((view) => {
      if (!view.picture) throw new Error("A picture has not been loaded yet.");
      return { ...view, picture: view.picture };
    }),
    heads,
    dark: document.documentElement.dataset.theme === "dark",
    width,
  });
}
