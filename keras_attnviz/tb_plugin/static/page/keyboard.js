// @ts-check
/** Keys for the whole page, where no control of its own takes them. */

/** @typedef {"tokens" | "layers" | "maps"} Need what a run must have. */

/**
 * Keys, what they do, and what a run must have for it, if anything.
 *
 * @type {[string, string, Need?][]}
 */
export const KEYS = [
  ["← →", "previous, next epoch"],
  ["Home, End", "first, last epoch"],
  ["Space", "play or pause the film"],
  ["[ ]", "previous, next probe"],
  ["Esc", "back from a patch to the read-out", "tokens"],
  ["Tab to the picture, then ← → ↑ ↓", "move over the patches; Enter asks the patch", "tokens"],
  ["Tab to the grid, then ← → ↑ ↓", "move over layers and heads; Enter shows one large", "layers"],
];

/**
 * @typedef {Object} Actions
 * @property {(delta: number) => void} move
 * @property {(isLast: boolean) => void} end
 * @property {() => void} play
 * @property {(delta: number) => void} probe
 * @property {() => void} back
 */

/**
 * Listens to keys.
 *
 * @param {Actions} actions
 */
export function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    const { key } = event;
    const target = event.target instanceof Element ? event.target : document.body;
    const isSlider = target.matches('input[type="range"]');
    const takesKeys = target.matches('select, input[type="number"], input[type="radio"], textarea');
    if (key === "Escape") actions.back();
    else if (takesKeys) return;
    else if (key === " ") {
      if (target.matches("button, input[type=checkbox], summary, a")) return;
      actions.play();
    } else if (key === "[") actions.probe(-1);
    else if (key === "]") actions.probe(1);
    else if (isSlider) return;
    else if (key === "ArrowLeft") actions.move(-1);
    else if (key === "ArrowRight") actions.move(1);
    else if (key === "Home") actions.end(false);
    else if (key === "End") actions.end(true);
    else return;
    if (key !== "Escape") event.preventDefault();
  });
}
