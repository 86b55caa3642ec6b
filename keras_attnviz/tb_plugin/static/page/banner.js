// @ts-check
/** The line at the top that says what is wrong, and tries again. */

import { el } from "../lib/dom.js";
import { ApiError } from "../log/api.js";
import { messageOf } from "../log/blobs.js";

const RETRY_MS = 5000;

export class Banner {
  /**
   * @param {HTMLElement} root
   * @param {() => void} retry reads the log again.
   */
  constructor(root, retry) {
    this.root = root;
    this.retry = retry;
    this.hasFailed = false;
    /** @type {Error | null} */
    this.unreadable = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.waiting = undefined;
  }

  /**
   * Says an error; where TensorBoard doesn't answer, tries again every few seconds.
   *
   * @param {unknown} error
   */
  fail(error) {
    const button = el("button", {
      type: "button",
      class: "plain",
      text: "Try now",
      on: { click: () => this.retry() },
    });
    const isAway = error instanceof ApiError && error.status === undefined;
    const text = isAway
      ? `${messageOf(error)} Trying again every few seconds. `
      : `Something could not be read: ${messageOf(error)} `;
    this._say([text, button]);
    this.hasFailed = true;
    if (isAway) {
      this.rest();
      this.waiting = setTimeout(() => this.retry(), RETRY_MS);
    }
  }

  /**
   * Says what can't be read at the epoch on screen, if anything; a greater fault goes first.
   *
   * @param {Error | null} failure
   */
  showUnreadable(failure) {
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

  /** @param {(string | Node)[]} parts */
  _say(parts) {
    this.unreadable = null;
    this.root.hidden = !parts.length;
    this.root.replaceChildren(...parts);
  }
}
