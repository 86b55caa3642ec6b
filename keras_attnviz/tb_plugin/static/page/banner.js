/** The line at the top that tells what is wrong, and tries again. */

import { ApiError } from "../log/api.js";
import { el } from "../lib/dom.js";

const RETRY_MS = 5000;

export class Banner {
  /** @param {function} retry reads the log again. */
  constructor(root, retry) {
    Object.assign(this, { root, retry, hasFailed: false, unreadable: null });
  }

  /** Tells an error; where TensorBoard doesn't answer, tries again every few seconds. */
  fail(error) {
    const button = el("button", {
      type: "button",
      class: "plain",
      text: "Try now",
      on: { click: () => this.retry() },
    });
    const isAway = error instanceof ApiError && error.status === undefined;
    const text = isAway
      ? `${error.message} Trying again every few seconds. `
      : `Something could not be read: ${error.message} `;
    this._say([text, button]);
    this.hasFailed = true;
    if (isAway) {
      this.rest();
      this.waiting = setTimeout(() => this.retry(), RETRY_MS);
    }
  }

  /** Tells what can't be read at the epoch on screen, or null; a greater fault goes first. */
  tellUnreadable(failure) {
    if (!failure && this.unreadable) this.clear();
    const isFree = this.unreadable || !this.hasFailed;
    if (failure && failure !== this.unreadable && isFree) {
      this.fail(failure);
      this.unreadable = failure;
    }
  }

  /** Nothing is wrong. */
  clear() {
    this.hasFailed = false;
    this._say([]);
  }

  /** Doesn't try again by itself. */
  rest() {
    clearTimeout(this.waiting);
  }

  _say(parts) {
    this.unreadable = null;
    this.root.hidden = !parts.length;
    this.root.replaceChildren(...parts);
  }
}
