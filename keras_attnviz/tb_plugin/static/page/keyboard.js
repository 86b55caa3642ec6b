/** Keys for the whole page, where no control of its own takes them. */

const [TOKENS, LAYERS] = ["tokens", "layers"];

/** Keys, what they do, and what a run must have for it, if anything. */
export const KEYS = [
  ["← →", "previous, next epoch"],
  ["Home, End", "first, last epoch"],
  ["Space", "play or pause the film"],
  ["[ ]", "previous, next probe"],
  ["Esc", "back from a patch to the read-out", TOKENS],
  ["Tab to the picture, then ← → ↑ ↓", "move over the patches; Enter asks the patch", TOKENS],
  ["Tab to the grid, then ← → ↑ ↓", "move over layers and heads; Enter shows one large", LAYERS],
];

/** Calls `actions`: `move(delta)`, `end(isLast)`, `play()`, `probe(delta)`, `back()`. */
export function listenToKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector("dialog[open]")) return;
    const { target, key } = event;
    const isSlider = target.matches?.('input[type="range"]');
    const takesKeys = target.matches?.(
      'select, input[type="number"], input[type="radio"], textarea',
    );
    if (key === "Escape") actions.back();
    else if (takesKeys) return;
    else if (key === " ") {
      if (target.matches?.("button, input[type=checkbox], summary, a")) return;
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
