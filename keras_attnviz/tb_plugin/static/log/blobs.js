// @ts-check
/** Blobs by their keys: several in one request, the newest wish first, kept up to a bound. */

import { fetchBlobs } from "./api.js";
import { unpack } from "./format.js";

/** @import { PackedRecord } from "./format.js" */

/**
 * A blob that somebody waits for.
 * @typedef {Object} Wish
 * @property {boolean} sent whether it has been asked for.
 * @property {Promise<PackedRecord>} promise
 * @property {(record: PackedRecord) => void} resolve
 * @property {(error: unknown) => void} reject
 */

const KEPT_BYTES = 128 * 2 ** 20;
const KEYS_A_REQUEST = 24;
const BYTES_A_REQUEST = 2 * 2 ** 20;
const REQUESTS = 2;

/** A blob that came, but isn't a record; it is not asked for again until the log is read again. */
export class Unreadable extends Error {}

/**
 * Returns an error's text.
 *
 * @param {unknown} error
 * @returns {string}
 */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));

export class Blobs {
  constructor() {
    /** @type {Map<string, {record: PackedRecord, bytes: number}>} least recently used first */
    this.kept = new Map();
    /** @type {Map<string, Unreadable>} */
    this.failed = new Map();
    this.bytes = 0;
    /** @type {Map<string, Wish>} */
    this.waiting = new Map();
    /** @type {string[]} the newest last */
    this.urgent = [];
    /** @type {string[]} to have soon, the nearest first */
    this.idle = [];
    this.running = 0;
    this.scheduled = false;
    this.typical = 64 * 1024;
  }

  /**
   * Returns the record of a key if it is there, else null.
   *
   * @param {string} key
   */
  peek(key) {
    const entry = this.kept.get(key);
    if (!entry) return null;
    this.kept.delete(key);
    this.kept.set(key, entry);
    return entry.record;
  }

  /**
   * Returns why a key's record can't be read, or null.
   *
   * @param {string} key
   */
  failure(key) {
    return this.failed.get(key) ?? null;
  }

  /** Forgets what couldn't be read, so that it is asked for again. */
  forgive() {
    this.failed.clear();
  }

  /**
   * Returns a promise of the record of a key.
   *
   * @param {string} key
   * @returns {Promise<PackedRecord>}
   */
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

  /**
   * Loads keys when nothing urgent is to do; replaces what was asked for before.
   *
   * @param {string[]} keys
   */
  prefetch(keys) {
    this.idle = keys.filter((key) => !this.kept.has(key) && !this.failed.has(key));
    this._start();
  }

  clear() {
    this.kept.clear();
    this.bytes = 0;
  }

  /** @param {string} key */
  _wish(key) {
    const known = this.waiting.get(key);
    if (known) return known;
    /** @type {Pick<Wish, "resolve" | "reject">} */
    let settle = { resolve: () => {}, reject: () => {} };
    /** @type {Promise<PackedRecord>} */
    const promise = new Promise((resolve, reject) => {
      settle = { resolve, reject };
    });
    promise.catch(() => {});
    const wish = { sent: false, promise, ...settle };
    this.waiting.set(key, wish);
    return wish;
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

  /** @param {string[]} keys */
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

  /** @param {string[]} keys */
  _forget(keys) {
    keys.forEach((key) => this.waiting.delete(key));
  }

  /**
   * @param {string} key
   * @param {ArrayBuffer} part the blob.
   * @param {Wish} wish
   */
  _keep(key, part, wish) {
    let record;
    try {
      record = unpack(part);
    } catch (error) {
      const failure = new Unreadable(messageOf(error));
      this.failed.set(key, failure);
      wish.reject(failure);
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
