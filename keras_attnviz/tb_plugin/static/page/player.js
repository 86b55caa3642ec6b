// @ts-check
/** The film on screen: one epoch after the other, each shown before the next. */

/** @import { Shown } from "../state/resolve.js" */

/**
 * What plays: `shown` is on screen; `progress()` says whether all of it is drawn, and whether
 * something is to be drawn in the next frame.
 * @typedef {Object} Stage
 * @property {Shown | null} shown
 * @property {number} direction in which the next epochs are.
 * @property {() => {isDrawn: boolean, isDue: boolean}} progress
 * @property {(delta: number) => void} move
 * @property {(isLast: boolean) => void} goToEnd
 * @property {() => void} draw
 */

const PATIENCE_MS = 2000;

export class Player {
  /** @param {Stage} stage */
  constructor(stage) {
    this.stage = stage;
    this.isPlaying = false;
    this.nextAt = 0;
  }

  toggle() {
    if (this.isPlaying) this.stop();
    else this.start();
  }

  /** Plays from where the slider stands; from the first epoch if that is the last. */
  start() {
    const { stage } = this;
    const side = stage.shown?.a;
    if (!side || side.run.steps.length < 2) return;
    if (side.step === side.run.lastStep) stage.goToEnd(false);
    this.isPlaying = true;
    stage.direction = 1;
    this.nextAt = performance.now() + this.period;
    requestAnimationFrame((now) => this._tick(now));
    stage.draw();
  }

  stop() {
    this.isPlaying = false;
    this.stage.draw();
  }

  get period() {
    return 1000 / (this.stage.shown?.speed ?? 1);
  }

  /** @param {number} now */
  _tick(now) {
    const { stage } = this;
    if (!this.isPlaying || !stage.shown) return;
    const { isDrawn, isDue } = stage.progress();
    // No epoch is skipped for its data, unless they don't come.
    const isReady = isDrawn || now > this.nextAt + PATIENCE_MS;
    if (now >= this.nextAt && isReady && !isDue) {
      const { run, step } = stage.shown.a;
      if (step === run.lastStep) {
        this.stop();
        return;
      }
      this.nextAt = now - this.nextAt > this.period ? now + this.period : this.nextAt + this.period;
      stage.move(1);
    }
    requestAnimationFrame((next) => this._tick(next));
  }
}
