/** The page's state and data: what changes it, what is loaded for it, when it is drawn. */

import { keysAhead } from "./state/prefetch.js";
import { fetchRuns } from "./log/api.js";
import { Banner } from "./page/banner.js";
import { Unreadable } from "./log/blobs.js";
import { copyText } from "./export/clipboard.js";
import { FilmDialog } from "./export/film_dialog.js";
import { Frames } from "./lib/frames.js";
import { asksPatches } from "./log/gates.js";
import { address, followAddress, followReloads, followTheme, writeAddress } from "./state/host.js";
import { listenToKeys } from "./page/keyboard.js";
import { layout } from "./page/layout.js";
import { Pictures } from "./page/gray_pictures.js";
import { Player } from "./page/player.js";
import { moved, resolve } from "./state/resolve.js";
import { Run } from "./log/run.js";
import { filmOf, saveScreen } from "./export/save.js";
import { Screen } from "./screen.js";
import { fromPairs, toPairs } from "./state/state.js";

const WRITE_MS = 250;

export class App {
  /** @param {Object} early what was asked for beforehand, see early.js. */
  constructor(early) {
    this.early = early;
    this.state = early.state;
    this.blobs = early.blobs;
    this.runs = [];
    this.opened = new Map();
    this.pictures = new Pictures(() => this.draw());
    this.player = new Player(this);
    this.direction = 1;
    this.timelineHandlers = {
      onStep: (step, isSecond) => this.goTo(step, isSecond),
      onPlay: () => this.player.toggle(),
      onMove: (delta) => this.move(delta),
      onEnd: (isLast) => this.goToEnd(isLast),
      onSpeed: (speed) => this.change({ speed }),
      onLinked: (linked) => this.change({ linked, step2: this.shown.b.step, gap: null }),
    };
    this.frames = new Frames(() => this._draw());
    this.parts = layout();
    this.banner = new Banner(this.parts.banner, () => this.load());
    this.screen = new Screen(this.parts, this);
  }

  mount(body) {
    const { page, empty, waiting, banner } = this.parts;
    body.append(banner, waiting, empty, page);
    this.film = new FilmDialog(() => {
      this.player.stop();
      return filmOf(this.shown);
    });
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
      back: () => this.state.patch && this.change({ patch: null }),
    });
    this.isMounted = true;
    this.draw();
  }

  /** Reads the log, at first and again; a person on the last epoch stays on the last. */
  async load() {
    if (this.loading) return this.loading;
    this.loading = this._load().finally(() => {
      this.loading = null;
    });
    return this.loading;
  }

  async _load() {
    this.banner.rest();
    try {
      this.blobs.forgive();
      if (this.early) await this._takeEarly();
      else await this._refresh();
      await this._open();
      this.banner.clear();
    } catch (error) {
      this.banner.fail(error);
    }
    this.parts.waiting.hidden = true;
    this.draw();
  }

  /** Reads the list and the open runs again; who has moved meanwhile stays there. */
  async _refresh() {
    this.runs = await fetchRuns();
    const { a, b } = this.shown ?? {};
    const before = { ...this.state };
    const isLast = (side) => Boolean(side) && side.step === side.run.lastStep;
    const follows = { step: isLast(a), step2: isLast(b) };
    const names = this.runs.map(({ run }) => run);
    for (const name of this.opened.keys()) if (!names.includes(name)) this.opened.delete(name);
    await Promise.all([...this.opened.values()].map((run) => run.refresh()));
    const isToFollow = (name) =>
      follows[name] && this.state[name] !== null && this.state[name] === before[name];
    if (isToFollow("step")) this.state.step = this.opened.get(this.state.run)?.lastStep ?? null;
    if (isToFollow("step2")) this.state.step2 = this._second()?.lastStep ?? null;
  }

  /** Takes what was asked for beforehand. */
  async _takeEarly() {
    const { runs, opened } = this.early;
    this.early = null;
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

  /** Changes the state as a person has asked, and draws. */
  change(changes) {
    if ("layer" in changes && !("head" in changes))
      changes.head = this.shown?.selection.head ?? null;
    if ("run" in changes && changes.run !== this.state.run) {
      Object.assign(changes, this._carriedOver(changes.run));
      this.player.stop();
    }
    Object.assign(this.state, changes);
    this._afterChange(() => this.frames.atOnce());
  }

  /** A person on the last epoch of a run goes to the last of the next. */
  _carriedOver(run) {
    const stood = this.shown?.a;
    const isLast = stood && stood.step === stood.run.lastStep;
    return {
      ...(isLast ? { step: null } : {}),
      ...(this.state.run2 === run ? { compare: "", run2: "", step2: null } : {}),
      gap: null,
      patch: null,
    };
  }

  _replace(state) {
    const own = JSON.stringify(toPairs(this.state));
    if (own === JSON.stringify(toPairs(state))) return;
    this.state = state;
    this._afterChange(() => this.draw());
  }

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
    if (!hasEpochs) return;
    waiting.hidden = true;
    const shown = resolve(this.state, run, this.state.compare === "run" ? this._second() : null);
    for (const side of [shown.a, shown.b]) if (side) side.picture = this.pictures.of(side);
    this.shown = shown;
    const promise = this.screen.show(shown, this.runs);
    this.drawn = `${shown.a.run.name}|${shown.a.step}`;
    this.isReady = !this.screen.views.some(({ isLoading }) => isLoading);
    this.isGridReady = this.screen.multiples.isReady;
    this._drawAfter(promise);
    this.banner.tellUnreadable(this.screen.failure ?? this.screen.multiples.failure);
    if (this.isReady) {
      if (!this.wasReady) performance.mark("first picture");
      this.wasReady = true;
      this._lookAhead(shown);
      this.screen.probes.fill();
    }
    this._write(shown);
  }

  _drawAfter(promise) {
    promise?.then(
      () => this.draw(),
      // What can't be read is told where it is drawn, and only as long.
      (error) => (error instanceof Unreadable ? this.draw() : this.banner.fail(error)),
    );
  }

  _lookAhead(shown) {
    shown.a.run.loadPictures();
    this.blobs.prefetch(keysAhead(shown, this.direction));
  }

  _write(shown) {
    clearTimeout(this.writing);
    if (this.player.isPlaying) return;
    this.writing = setTimeout(() => {
      writeAddress(this._pairs(shown));
    }, WRITE_MS);
  }

  /** Returns the pairs of the address that shows the same. */
  _pairs({ a, b, linked, gap }) {
    const isHeld = b && linked && gap !== b.step - a.step;
    const second = b ? { step2: b.step } : {};
    return toPairs({ ...this.state, step: a.step, ...second, gap: isHeld ? gap : null });
  }

  goTo(step, isSecond) {
    const from = isSecond ? this.shown.b.step : this.shown.a.step;
    if (step !== from) this.direction = step > from ? 1 : -1;
    this.change(moved(this.shown, step, isSecond));
  }

  move(delta) {
    const { run, step } = this.shown.a;
    const next = run.steps[run.indices.get(step) + delta];
    if (next !== undefined) this.goTo(next, false);
  }

  goToEnd(isLast) {
    const { steps } = this.shown.a.run;
    this.goTo(isLast ? steps[steps.length - 1] : steps[0], false);
  }

  moveProbe(delta) {
    const { run, probe } = this.shown.a;
    const next = probe + delta;
    if (next >= 0 && next < run.setup.probes.length) this.change({ probe: next });
  }

  pickHead(layer, head) {
    const { selection } = this.shown;
    const isSame = selection.layer === layer && selection.head === head;
    this.change(isSame ? { layer: null, head: null } : { layer, head });
  }

  /** Asks where the token of a patch attends; asking the same again goes back to the read-out. */
  ask([x, y], map) {
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
    const color = getComputedStyle(document.body).color;
    const heads = this.screen.multiples.pictures(3, color);
    saveScreen(this.shown, this.screen.views, heads).catch((error) => this.banner.fail(error));
  }

  async copyLink() {
    writeAddress(this._pairs(this.shown));
    const button = this.parts.copyLink;
    const isCopied = await copyText(address());
    button.textContent = isCopied ? "Copied" : "Copy the address bar";
    setTimeout(() => Object.assign(button, { textContent: "Copy link" }), 2500);
  }
}
