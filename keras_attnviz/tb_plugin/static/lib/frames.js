// @ts-check
/** When the page is drawn: at once, or in the browser's next frame; many wishes draw once. */

export class Frames {
  /** @param {() => void} draw */
  constructor(draw) {
    this.draw = draw;
    this.isDue = false;
    this.hasDrawn = false; // since the last frame
    this.isAwaiting = false;
  }

  /** Draws in the next frame. */
  soon() {
    this.isDue = true;
    this._await();
  }

  /** Draws now, what was due too; in the next frame where something was drawn since the last. */
  atOnce() {
    if (this.hasDrawn) this.soon();
    else this._draw();
  }

  _await() {
    if (this.isAwaiting) return;
    this.isAwaiting = true;
    // Where the page is hidden there are no animation frames; nothing needs to be drawn then.
    requestAnimationFrame(() => {
      this.isAwaiting = this.hasDrawn = false;
      if (this.isDue) this._draw();
    });
  }

  _draw() {
    // Before drawing, so that what drawing sets off comes in the next frame, after an error too.
    this.isDue = false;
    this.hasDrawn = true;
    this._await();
    this.draw();
  }
}
