/** The film on screen: one epoch after the other, each shown before the next. */

const PATIENCE_MS = 2000;

export class Player {
  /** @param {App} app that is moved. */
  constructor(app) {
    this.app = app;
    this.isPlaying = false;
  }

  toggle() {
    if (this.isPlaying) this.stop();
    else this.start();
  }

  /** Plays from where the slider stands; from the first epoch if that is the last. */
  start() {
    const { app } = this;
    const { run, step } = app.shown.a;
    if (run.steps.length < 2) return;
    if (step === run.lastStep) app.goToEnd(false);
    this.isPlaying = true;
    app.direction = 1;
    this.nextAt = performance.now() + this.period;
    requestAnimationFrame((now) => this._tick(now));
    app.draw();
  }

  stop() {
    this.isPlaying = false;
    this.app.draw();
  }

  get period() {
    return 1000 / this.app.shown.speed;
  }

  _tick(now) {
    const { app } = this;
    if (!this.isPlaying) return;
    // No epoch is skipped for its data, unless they don't come.
    const isReady = (app.isReady && app.isGridReady) || now > this.nextAt + PATIENCE_MS;
    if (now >= this.nextAt && isReady && !app.frames.isDue) {
      const { run, step } = app.shown.a;
      if (step === run.lastStep) {
        this.stop();
        return;
      }
      this.nextAt = now - this.nextAt > this.period ? now + this.period : this.nextAt + this.period;
      app.move(1);
    }
    requestAnimationFrame((next) => this._tick(next));
  }
}
