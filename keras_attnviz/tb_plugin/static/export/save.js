/** Files of what is on screen: one picture, or a film of all epochs. */

import { Unreadable } from "../log/blobs.js";
import { savePng } from "./film.js";
import { moved } from "../state/resolve.js";
import { composePage, fileName } from "./compose_page.js";
import { describe, paneViews } from "../page/panes.js";

const FILM_WIDTH = 420;
const PICTURE_WIDTH = 640;
const TRIES = 3;

/** Saves the panes and the pictures of the heads as PNG. */
export function saveScreen(shown, views, heads) {
  const { run, probe, step } = shown.a;
  const name = fileName("attention", run.setup.probes[probe].name, `step ${step}`);
  return savePng(compose(shown, views, { heads, width: PICTURE_WIDTH }), `${name}.png`);
}

/** Returns `{count, frame, speed, name}` of a film: every epoch of A, the panes as they are now. */
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

function atStep(shown, step) {
  const { step2 } = moved(shown, step, false);
  const b = shown.b && step2 !== undefined ? { ...shown.b, step: step2 } : shown.b;
  return { ...shown, a: { ...shown.a, step }, b };
}

/** The blobs come after their keys, so this asks more than once; what can't be read is left out. */
async function viewsOf(shown) {
  let found = paneViews(shown, {});
  for (let i = 0; found.promise && i < TRIES; i += 1) {
    await found.promise.catch((error) => {
      if (!(error instanceof Unreadable)) throw error;
    });
    found = paneViews(shown, {});
  }
  return found.views;
}

function compose(shown, views, { heads, width }) {
  const { run, probe } = shown.a;
  return composePage({
    title: run.setup.probes[probe].name,
    subtitle: [describe(run, shown.selection), run.title].filter(Boolean).join(" · "),
    panes: views.map((view) => ({ heading: view.heading, detail: view.detail, view })),
    heads,
    dark: document.documentElement.dataset.theme === "dark",
    width,
  });
}
