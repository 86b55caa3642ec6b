// @ts-check
/** The page's state and data: what changes it, what is loaded for it, when it is drawn. */

import { copyText } from "./export/clipboard.js";
import { FilmDialog } from "./export/film_dialog.js";
import { filmOf, saveScreen } from "./export/save.js";
import { Frames } from "./lib/frames.js";
import { fetchRuns } from "./log/api.js";
import { Unreadable } from "./log/blobs.js";
import { asksPatches } from "./log/gates.js";
import { Run } from "./log/run.js";
import { Banner } from "./page/banner.js";
import { Pictures } from "./page/gray_pictures.js";
import { listenToKeys } from "./page/keyboard.js";
import { layout } from "./page/layout.js";
import { Player } from "./page/player.js";
import { Screen } from "./screen.js";
import { address, followAddress, followReloads, followTheme, writeAddress } from "./state/host.js";
import { keysAhead } from "./state/prefetch.js";
import { moved, resolve } from "./state/resolve.js";
import { fromPairs, toPairs } from "./state/state.js";

/** @import { AttentionMap } from "./log/maps.js" */
/** @import { Early } from "./state/early.js" */
/** @import { Shown, Side } from "./state/resolve.js" */
/** @import { State } from "./state/state.js" */

const WRITE_MS = 250;
/** @type {Partial<State>} */
const UNCOMPARED = { compare: "", run2: "", step2: null };

export class App {
  /** @param {Early} early what was asked for beforehand. */
  constructor(early) {
    /** @type {Early | null} */
    this.early = early;
    this.state = early.state;
    this.blobs = early.blobs;
    /** @type {Awaited<Early["runs"]>} */
    this.runs = [];
    /** @type {Map<string, Run>} */
    this.opened = new Map();
    /** @type {Promise<void> | null} */
    this.loading = null;
    /** @type {Shown | null} what is on screen */
    this.shown = null;
    this.isMounted = false;
    this.isReady = false;
    this.wasReady = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.writing = undefined;
    this.pictures = new Pictures(() => this.draw());
    this.player = new Player(this);
    this.direction = 1;
    this.frames = new Frames(() => this._draw());
    this.parts = layout();
    this.banner = new Banner(this.parts.banner, () => this.load());
    this.film = new FilmDialog(() => {
      this.player.stop();
      return this.shown && filmOf(this.shown);
    });
    this.screen = new Screen(this.parts, this._actions());
  }

  _actions() {
    /** @type {(changes: Partial<State>) => void} */
    const change = (changes) => this.change(changes);
    /** @type {(step: number, isSecond: boolean) => void} */
    const goTo = (step, isSecond) => this.goTo(step, isSecond);
    return {
      change,
      goTo,
      /** @type {(patch: number[], map: AttentionMap) => void} */
      ask: (patch, map) => this.ask(patch, map),
      /** @type {(layer: number, head: number | null) => void} */
      pickHead: (layer, head) => this.pickHead(layer, head),
      draw: () => this.draw(),
      timeline: {
        onStep: goTo,
        onPlay: () => this.player.toggle(),
        onMove: (/** @type {number} */ delta) => this.move(delta),
        onEnd: (/** @type {boolean} */ isLast) => this.goToEnd(isLast),
        onSpeed: (/** @type {number} */ speed) => change({ speed }),
        onLinked: (/** @type {boolean} */ linked) =>
          change({ linked, step2: this.shown?.b?.step, gap: null }),
      },
    };
  }

  /** @param {HTMLElement} body */
  mount(body) {
    const { page, empty, waiting, banner } = this.parts;
    body.append(banner, waiting, empty, page, this.film.root);
    this.parts.savePicture.addEventListener("click", () => this.savePicture());
    this.parts.saveFilm.addEventListener("click", () => this.film.open());
    this.parts.copyLink.addEventListener("click", () => this.copyLink());
    followTheme(() => this.draw());
    followReloads(() => this.load());
    followAddress((pairs) => this._replace(fromPairs(pairs)));
    window.addEventListener("resize", () => this.draw());
    listenToKeys({
      move: (delta) => this.move(delta),
      end: (isLast) => this.goToEnd(isLast),
      play: () => this.player.toggle(),
      probe: (delta) => this.moveProbe(delta),
      back: () => {
        if (this.state.patch) this.change({ patch: null });
      },
    });
    this.isMounted = true;
    this.draw();
  }

  /** Reads the log, at first and again; a person on the last epoch stays on the last. */
  async load() {
    this.loading ??= this._load().finally(() => {
      this.loading = null;
    });
    return this.loading;
  }

  async _load() {
    this.banner.rest();
    try {
      this.blobs.forgive();
      const { early } = this;
      this.early = null;
      if (early) await this._take(early);
      else await this._refresh();
      await this._open();
      this.banner.clear();
    } catch (error) {
      this.banner.fail(error);
    }
    this.parts.waiting.hidden = true;
    this.draw();
  }

  /** Reads the list and the open runs again; a person who has moved meanwhile stays. */
  async _refresh() {
    this.runs = await fetchRuns();
    const { shown } = this;
    const before = { ...this.state };
    const isLast = (/** @type {Side} */ { run, step }) => step === run.lastStep;
    const follows = { step: shown && isLast(shown.a), step2: shown?.b && isLast(shown.b) };
    const names = this.runs.map(({ run }) => run);
    for (const name of this.opened.keys()) if (!names.includes(name)) this.opened.delete(name);
    await Promise.all([...this.opened.values()].map((run) => run.refresh()));
    const isToFollow = (/** @type {"step" | "step2"} */ name) =>
      follows[name] && this.state[name] !== null && this.state[name] === before[name];
    if (isToFollow("step")) this.state.step = lastStepOf(this.opened.get(this.state.run));
    if (isToFollow("step2")) this.state.step2 = lastStepOf(this._second());
  }

  /**
   * Takes what was asked for beforehand.
   *
   * @param {Early} early
   */
  async _take({ runs, opened }) {
    const [list, run] = await Promise.all([runs, opened.catch(() => null)]);
    this.runs = list;
    if (run) this.opened.set(run.name, run);
  }

  /** Opens the runs that the state names; the first one where it names none that is there. */
  async _open() {
    if (!this.runs.length) return;
    const names = this.runs.map(({ run }) => run);
    if (!names.includes(this.state.run)) this.state.run = names[0];
    if (this.state.compare === "run" && !names.includes(this.state.run2)) this.state.compare = "";
    const wanted = [this.state.run, ...(this.state.compare === "run" ? [this.state.run2] : [])];
    await Promise.all(
      wanted.map(async (name) => {
        if (!this.opened.has(name)) this.opened.set(name, await Run.open(name, this.blobs));
      }),
    );
  }

  _second() {
    const { compare, run, run2 } = this.state;
    return this.opened.get(compare === "run" ? run2 : run) ?? null;
  }

  /**
   * Changes the state as a person has asked, and draws.
   *
   * @param {Partial<State>} changes
   */
  change(changes) {
    if ("layer" in changes && !("head" in changes))
      changes.head = this.shown?.selection.head ?? null;
    if (changes.run !== undefined && changes.run !== this.state.run) {
      Object.assign(changes, this._carriedOver(changes.run));
      this.player.stop();
    }
    Object.assign(this.state, changes);
    this._afterChange(() => this.frames.atOnce());
  }

  /**
   * Returns what changes with the run: a person on the last epoch of a run goes to the last of the
   * next.
   *
   * @param {string} run
   * @returns {Partial<State>}
   */
  _carriedOver(run) {
    const stood = this.shown?.a;
    const isLast = stood && stood.step === stood.run.lastStep;
    return {
      ...(isLast ? { step: null } : {}),
      ...(this.state.run2 === run ? UNCOMPARED : {}),
      gap: null,
      patch: null,
    };
  }

  /** @param {State} state */
  _replace(state) {
    const own = JSON.stringify(toPairs(this.state));
    if (own === JSON.stringify(toPairs(state))) return;
    this.state = state;
    this._afterChange(() => this.draw());
  }

  /** @param {() => void} draw */
  _afterChange(draw) {
    const { run, run2, compare } = this.state;
    const wanted = [run, ...(compare === "run" ? [run2] : [])];
    if (wanted.every((name) => this.opened.has(name))) draw();
    else
      this._open().then(
        () => this.draw(),
        (error) => this.banner.fail(error),
      );
  }

  /** Draws in the next frame. */
  draw() {
    this.frames.soon();
  }

  _draw() {
    if (!this.isMounted) return;
    const run = this.opened.get(this.state.run);
    const { page, empty, waiting } = this.parts;
    const hasEpochs = Boolean(run?.epochs.length);
    const isEmpty = !this.runs.length || (run && !hasEpochs);
    empty.hidden = !(isEmpty && waiting.hidden && !this.banner.hasFailed);
    page.hidden = !hasEpochs;
    if (!run || !hasEpochs) return;
    waiting.hidden = true;
    const shown = resolve(this.state, run, this.state.compare === "run" ? this._second() : null);
    for (const side of [shown.a, shown.b]) if (side) side.picture = this.pictures.of(side);
    this.shown = shown;
    const { runs, state, player } = this;
    this._drawAfter(this.screen.show(shown, { runs, state, isPlaying: player.isPlaying }));
    this.isReady = this.screen.isReady;
    this.banner.showUnreadable(this.screen.failure ?? this.screen.multiples.failure);
    if (this.isReady) {
      if (!this.wasReady) performance.mark("first picture");
      this.wasReady = true;
      this._lookAhead(shown);
      this.screen.probes.fill();
    }
    this._write(shown);
  }

  /** Whether all of what is shown is drawn, and whether something is due in the next frame. */
  progress() {
    return { isDrawn: this.isReady && this.screen.multiples.isReady, isDue: this.frames.isDue };
  }

  /** @param {Promise<unknown> | null} promise */
  _drawAfter(promise) {
    promise?.then(
      () => this.draw(),
      // What can't be read is said where it is drawn, and only as long.
      (error) => (error instanceof Unreadable ? this.draw() : this.banner.fail(error)),
    );
  }

  /** @param {Shown} shown */
  _lookAhead(shown) {
    shown.a.run.loadPictures();
    this.blobs.prefetch(keysAhead(shown, this.direction));
  }

  /** @param {Shown} shown */
  _write(shown) {
    clearTimeout(this.writing);
    if (this.player.isPlaying) return;
    this.writing = setTimeout(() => {
      writeAddress(this._pairs(shown));
    }, WRITE_MS);
  }

  /**
   * Returns the pairs of the address that shows the same.
   *
   * @param {Shown} shown
   */
  _pairs({ a, b, linked, gap }) {
    const isHeld = b && linked && gap !== b.step - a.step;
    const second = b ? { step2: b.step } : {};
    return toPairs({ ...this.state, step: a.step, ...second, gap: isHeld ? gap : null });
  }

  /**
   * Goes to a step of A, or of B.
   *
   * @param {number} step
   * @param {boolean} isSecond
   */
  goTo(step, isSecond) {
    const { shown } = this;
    const side = isSecond ? shown?.b : shown?.a;
    if (!shown || !side) return;
    if (step !== side.step) this.direction = step > side.step ? 1 : -1;
    this.change(moved(shown, step, isSecond));
  }

  /**
   * Goes to an epoch before or after that of A.
   *
   * @param {number} delta
   */
  move(delta) {
    if (!this.shown) return;
    const { run, step } = this.shown.a;
    const index = run.indices.get(step);
    if (index === undefined) return;
    const next = run.steps[index + delta];
    if (next !== undefined) this.goTo(next, false);
  }

  /** @param {boolean} isLast */
  goToEnd(isLast) {
    const step = this.shown?.a.run.steps.at(isLast ? -1 : 0);
    if (step !== undefined) this.goTo(step, false);
  }

  /** @param {number} delta */
  moveProbe(delta) {
    if (!this.shown) return;
    const { run, probe } = this.shown.a;
    const next = probe + delta;
    if (next >= 0 && next < run.setup.probes.length) this.change({ probe: next });
  }

  /**
   * Shows a head large, or where it is shown already, the method's map.
   *
   * @param {number} layer
   * @param {number | null} head
   */
  pickHead(layer, head) {
    const selection = this.shown?.selection;
    const isSame = selection?.layer === layer && selection.head === head;
    this.change(isSame ? { layer: null, head: null } : { layer, head });
  }

  /**
   * Asks where the token of a patch attends; asking the same again goes back to the read-out.
   *
   * @param {number[]} patch `[x, y]` on the map's grid.
   * @param {AttentionMap} map
   */
  ask([x, y], map) {
    if (!this.shown) return;
    const { a, selection } = this.shown;
    if (!asksPatches(a.run, selection.layer)) return;
    const { setup } = a.run;
    const [rows, columns] = setup.token_grid;
    const across = Math.floor((((x + 0.5) * map.span[1]) / map.grid[1]) * columns);
    const down = Math.floor((((y + 0.5) * map.span[0]) / map.grid[0]) * rows);
    const patch = [Math.min(columns - 1, across), Math.min(rows - 1, down)];
    const isSame = this.state.patch && String(this.state.patch) === String(patch);
    this.change({ patch: isSame ? null : patch });
  }

  savePicture() {
    if (!this.shown) return;
    const color = getComputedStyle(document.body).color;
    const heads = this.screen.multiples.pictures(3, color);
    saveScreen(this.shown, this.screen.views, heads).catch((error) => this.banner.fail(error));
  }

  async copyLink() {
    if (this.shown) writeAddress(this._pairs(this.shown));
    const button = this.parts.copyLink;
    const isCopied = await copyText(address());
    button.textContent = isCopied ? "Copied" : "Copy the address bar";
    setTimeout(() => {
      button.textContent = "Copy link";
    }, 2500);
  }
}

/**
 * Returns the step of a run's last epoch, or null where there is none.
 *
 * @param {Run | null | undefined} run
 */
function lastStepOf(run) {
  return run?.epochs.length ? run.lastStep : null;
}
