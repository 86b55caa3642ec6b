/** Blobs by their keys: several in one request, the newest wish first, kept up to a bound. */

import { fetchBlobs } from "./api.js";
import { unpack } from "./format.js";

const KEPT_BYTES = 128 * 2 ** 20;
const KEYS_A_REQUEST = 24;
const BYTES_A_REQUEST = 2 * 2 ** 20;
const REQUESTS = 2;

/** A blob that came, but isn't a record; it is not asked for again until the log is read again. */
export class Unreadable extends Error {}

export class Blobs {
  constructor() {
    this.kept = new Map(); // key to {record, bytes}, least recently used first
    this.failed = new Map(); // key to Unreadable
    this.bytes = 0;
    this.waiting = new Map(); // key to {promise, resolve, reject}
    this.urgent = []; // keys, the newest last
    this.idle = []; // keys to have soon, the nearest first
    this.running = 0;
    this.typical = 64 * 1024;
  }

  /** Returns the record of a key if it is there, else null. */
  peek(key) {
    const entry = this.kept.get(key);
    if (!entry) return null;
    this.kept.delete(key);
    this.kept.set(key, entry);
    return entry.record;
  }

  /** Returns why a key's record can't be read, or null. */
  failure(key) {
    return this.failed.get(key) ?? null;
  }

  /** Forgets what couldn't be read, so that it is asked for again. */
  forgive() {
    this.failed.clear();
  }

  /** Returns a promise of the record of a key. */
  get(key) {
    const record = this.peek(key);
    if (record) return Promise.resolve(record);
    const wish = this._wish(key);
    if (!wish.sent) {
      this.urgent = this.urgent.filter((each) => each !== key);
      this.urgent.push(key);
      this._start();
    }
    return wish.promise;
  }

  /** Loads keys when nothing urgent is to do; replaces what was asked for before. */
  prefetch(keys) {
    this.idle = keys.filter((key) => key && !this.kept.has(key) && !this.failed.has(key));
    this._start();
  }

  clear() {
    this.kept.clear();
    this.bytes = 0;
  }

  _wish(key) {
    if (!this.waiting.has(key)) {
      const wish = { sent: false };
      wish.promise = new Promise((resolve, reject) => Object.assign(wish, { resolve, reject }));
      wish.promise.catch(() => {});
      this.waiting.set(key, wish);
    }
    return this.waiting.get(key);
  }

  _start() {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      while (this.running < REQUESTS) {
        const keys = this._batch();
        if (!keys.length) return;
        this._send(keys);
      }
    });
  }

  /** Returns the keys of the next request: what is urgent, or else what is wished for. */
  _batch() {
    const most = Math.max(1, Math.min(KEYS_A_REQUEST, Math.floor(BYTES_A_REQUEST / this.typical)));
    const keys = this.urgent.splice(-most).reverse();
    // One line stays free for what is urgent.
    if (!keys.length && this.running >= REQUESTS - 1) return keys;
    while (!keys.length || (keys.length < most && this.running === 0)) {
      const key = this.idle.shift();
      if (key === undefined) break;
      if (!this.kept.has(key) && !this.waiting.get(key)?.sent && !keys.includes(key))
        keys.push(key);
    }
    return keys;
  }

  async _send(keys) {
    const wishes = keys.map((key) => this._wish(key));
    wishes.forEach((wish) => Object.assign(wish, { sent: true }));
    this.running += 1;
    try {
      const parts = await fetchBlobs(keys);
      this._forget(keys);
      keys.forEach((key, i) => this._keep(key, parts[i] ?? new ArrayBuffer(0), wishes[i]));
    } catch (error) {
      this._forget(keys);
      wishes.forEach((wish) => wish.reject(error));
    }
    this.running -= 1;
    this._start();
  }

  _forget(keys) {
    keys.forEach((key) => this.waiting.delete(key));
  }

  _keep(key, part, wish) {
    let record;
    try {
      record = unpack(part);
    } catch (error) {
      this.failed.set(key, new Unreadable(error.message));
      wish.reject(this.failed.get(key));
      return;
    }
    this.typical = 0.8 * this.typical + 0.2 * part.byteLength;
    this.kept.set(key, { record, bytes: part.byteLength });
    this.bytes += part.byteLength;
    for (const [oldest, { bytes }] of this.kept) {
      if (this.bytes <= KEPT_BYTES || oldest === key) break;
      this.kept.delete(oldest);
      this.bytes -= bytes;
    }
    wish.resolve(record);
  }
}
