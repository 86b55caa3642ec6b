/** Draws the whole page from what is to be shown. */

import { createCharts } from "./charts.js";
import { Choosers, Looks } from "./controls.js";
import { el, fillSelect, setText } from "./dom.js";
import { HeadsGrid, smallestGrid } from "./heads.js";
import { keysOf } from "./maps.js";
import { PicturePane } from "./picture.js";
import { ProbeStrip } from "./probes.js";
import { chartGroups, hasDrift, measureAt, measures, mostChanged } from "./series.js";
import { DIFFERENCE_MAP, short } from "./paint.js";
import { Timeline, epochName } from "./timeline.js";
import { Tip } from "./tip.js";
import { describe, paneViews, selectionFor } from "./views.js";

const AHEAD = 24;
const BEHIND = 8;
const CHARTS = 290; // pixels at least, where the charts stand beside the pictures
const GAP = 28;
const AROUND = 150; // pixels for a pane's title, read-out and color bar
const CHART_MS = 80;
const GRIDS_REST = 2; // the small multiples rest this many times as long as they took,
const GRIDS_MS = 45; // but not longer
const TALLEST = 640;
const SHORTEST = 340;

export class Screen {
  /** @param {App} app whose `change(changes)` and actions the controls call. */
  constructor(parts, app) {
    Object.assign(this, { parts, app });
    const tip = new Tip();
    const change = (changes) => app.change(changes);
    this.choosers = new Choosers(parts.choosers, change);
    this.looks = new Looks(parts.looks, change);
    this.probes = new ProbeStrip(parts.probes, {
      onPick: (probe) => change({ probe }),
      onWrong: (wrong) => change({ wrong }),
      tip,
    });
    this.panes = ["a", "b", "difference"].map(
      (name) =>
        new PicturePane(parts.panes, name, {
          onPatch: (patch, map) => app.ask(patch, map),
          onHover: (patch) => this.panes.forEach((pane) => pane.hover(patch)),
        }),
    );
    this.grids = ["a", "b", "difference"].map((name) => {
      const letter = el("span", { class: "grid-letter" });
      const root = el("div", { class: "grid-part" }, letter);
      parts.grid.append(root);
      const onPick = (layer, head) => app.pickHead(layer, head);
      return { root, letter, heads: new HeadsGrid(root, name, { onPick, tip }) };
    });
    this.timeline = new Timeline(parts.timeline, app.timelineHandlers);
    this.charts = createCharts(parts.charts, { onStep: (step) => app.goTo(step, false) });
    this._gridHead();
    this._legend();
    this.back = el("button", {
      type: "button",
      class: "plain",
      id: "back",
      on: { click: () => change({ patch: null }) },
    });
    this.askingText = el("span", {});
    parts.asking.append(this.askingText, this.back);
  }

  /** Shows what was resolved; returns a promise where something is still to come, else null. */
  show(shown, runs) {
    const { a, b, selection } = shown;
    this.choosers.show({ ...this.app.state, ...selection }, runs, a.run);
    this.looks.show(shown);
    this.probes.show(a.run, a.step, a.probe, shown.wrong);
    this._showProblems(b && b.run !== a.run ? [a.run, b.run] : [a.run]);
    this.timeline.show(a, b, {
      isPlaying: this.app.player.isPlaying,
      speed: shown.speed,
      isLinked: shown.linked,
    });
    setText(this.askingText, describe(a.run, selection));
    setText(this.back, `Back to the ${readoutOf(a.run)} (Esc)`);
    this.back.hidden = !selection.patch;
    this.sizes = this._arrange(shown);
    const promises = [this._showPanes(shown), ...this._gridsSoon(shown)].filter(Boolean);
    this._chartSoon(shown);
    return promises.length ? Promise.all(promises) : null;
  }

  /** Decides what stands beside what; returns the pixels that a pane and a grid may take. */
  _arrange({ a, b }) {
    const { view, charts, page, side, problems, asking } = this.parts;
    // Measuring makes the browser lay out the page: only after what can change the result.
    const signature = JSON.stringify([
      window.innerWidth,
      window.innerHeight,
      problems.hidden,
      this._aspect(a),
      Boolean(b),
      a.run.name,
      asking.textContent.length,
    ]);
    if (signature === this.arranged) return this.sizes;
    this.arranged = signature;
    const width = view.clientWidth;
    const height = this._height();
    const pane = Math.round(Math.min(width * 0.45, height / this._aspect(a)));
    const rest = width - pane - 2 * GAP - CHARTS;
    const isBeside = !b && rest >= smallestGrid(a.run);
    view.classList.toggle("is-comparison", Boolean(b));
    view.classList.toggle("has-charts", isBeside);
    if (isBeside !== (charts.parentNode === view)) (isBeside ? view : page).append(charts);
    if (b) {
      const column = Math.floor((width - 2 * GAP) / 3);
      side.style.width = "";
      return { height, pane: column, grid: column, gridHeight: height };
    }
    return { height, pane, grid: isBeside ? rest : width - pane - GAP, gridHeight: height + 34 };
  }

  /** Returns the height of a picture with which all of the view stands on the screen. */
  _height() {
    const { panes, timeline } = this.parts;
    const above = panes.getBoundingClientRect().top + window.scrollY;
    const room = window.innerHeight - above - timeline.offsetHeight - AROUND;
    return Math.round(Math.min(TALLEST, Math.max(SHORTEST, room)));
  }

  _showPanes(shown) {
    const { views, promise, failure } = paneViews(shown, {
      goTo: (step, isSecond) => this.app.goTo(step, isSecond),
      pickProbe: (probe) => this.app.change({ probe }),
    });
    this.views = views;
    this.failure = failure;
    this.panes.forEach((pane, i) => {
      pane.root.hidden = i >= views.length;
      if (pane.root.hidden) return;
      Object.assign(pane, { height: this.sizes.height, room: this.sizes.pane });
      pane.show(views[i]);
    });
    return promise;
  }

  /** Shows the small multiples; where they take long, not at every epoch: the picture goes first. */
  _gridsSoon(shown) {
    clearTimeout(this.gridding);
    const begin = performance.now();
    const wait = this.gridsAfter - begin;
    if (wait > 0) {
      this.gridding = setTimeout(() => this.app.draw(), wait);
      return [];
    }
    const promises = this._showGrids(shown);
    const end = performance.now();
    this.gridsAfter = end + Math.min(GRIDS_MS, GRIDS_REST * (end - begin));
    return promises;
  }

  /** Shows the small multiples: of A, and in a comparison of B and of their difference. */
  _showGrids(shown) {
    const { a, b } = shown;
    const sides = b ? [a, b] : [a];
    const records = sides.map((side) => headsRecord(side.run, side.probe, side.step));
    const isComparable = !b || sameHeads(a.run, b.run);
    const grids = sides.map((side, i) => ({
      side,
      record: records[i].record,
      isLoading: records[i].promise,
      isUnreadable: Boolean(records[i].failure),
      letter: "AB"[i],
    }));
    if (b) {
      grids.push({
        side: a,
        record: records[0].record,
        other: records[1].record,
        isLoading: records.some(({ promise }) => promise),
        letter: "A − B",
      });
    }
    const marks = grids.map((grid) => this._marks(shown, grid));
    this.grids.forEach((grid, i) => {
      grid.root.hidden = i >= grids.length;
      const isDifference = i === 2;
      if (grid.root.hidden || (isDifference && !isComparable)) {
        grid.root.hidden = true;
        return;
      }
      setText(grid.letter, b ? grids[i].letter : "");
      this._showGrid(shown, grid.heads, grids[i], marks[i], isDifference);
    });
    const { heads } = this.grids[0];
    if (!b) this.parts.side.style.width = `${Math.max(heads.width, 300)}px`;
    this._tell(a.run, marks[0], isComparable, records);
    this.gridFailure = records.find(({ failure }) => failure)?.failure ?? null;
    this.isGridReady = records.every(({ promise }) => !promise);
    return [...records.map(({ promise }) => promise), ...marks.map(({ promise }) => promise)];
  }

  _marks(shown, { side, record, other }) {
    const { run, probe, step } = side;
    const baseline =
      run.baseline === null || hasDrift(run) ? null : headsRecord(run, probe, run.baseline);
    return {
      changed: mostChanged(run, step, record, baseline?.record),
      measure: other !== undefined ? null : measureAt(run, shown.measure, step),
      promise: baseline?.promise,
    };
  }

  _showGrid(shown, heads, grid, { changed, measure }, isDifference) {
    const { side, record, other, isLoading, isUnreadable } = grid;
    heads.show({
      id: `${side.run.name}|${side.step}|${side.probe}`,
      run: side.run,
      record: isDifference && !other ? null : record,
      other: isDifference ? other : null,
      difference: isDifference,
      look: {
        colors: isDifference ? DIFFERENCE_MAP : shown.colors,
        scale: shown.scale,
        limit: shown.limit,
        smooth: shown.display === "smooth",
      },
      aspect: this._aspect(side),
      selection: selectionFor(shown.selection, side),
      frozen: side.run.setup.layers.map(({ trainable }) => trainable === false),
      changed: changed?.layer ?? null,
      best: measure?.best ?? null,
      measure,
      hasBars: Boolean(shown.measure),
      height: this.sizes.gridHeight,
      room: this.sizes.grid,
      isLoading,
      message: isUnreadable ? "Single heads of this epoch can't be read." : "",
    });
  }

  _aspect({ run, picture }) {
    const [rows, columns] = run.setup.grid;
    return Math.min(3, Math.max(0.35, picture ? picture.height / picture.width : rows / columns));
  }

  _gridHead() {
    this.gridTitle = el("h2", { text: "Layers and heads" });
    this.measure = el("select", {
      id: "measure",
      on: { change: () => this.app.change({ measure: this.measure.value }) },
    });
    this.measureField = el(
      "label",
      { class: "field", for: "measure" },
      el("span", { text: "Bars" }),
      this.measure,
    );
    this.parts.gridHead.append(this.gridTitle, el("span", { class: "space" }), this.measureField);
  }

  _legend() {
    const button = (id) => el("button", { type: "button", class: "plain", id, hidden: true });
    this.changed = button("most-changed");
    this.best = button("best-head");
    this.frozen = el("span", { class: "muted", id: "frozen-note", text: "gray: frozen" });
    this.gridNote = el("span", { class: "muted", id: "grid-note" });
    this.changed.addEventListener("click", () =>
      this.app.change({ layer: this.changedLayer, head: null }),
    );
    this.best.addEventListener("click", () => this.app.change(this.bestPlace));
    this.parts.legend.append(this.changed, this.best, this.frozen, this.gridNote);
  }

  _tell(run, { changed, measure }, isComparable, records) {
    const from = this.app.state.patch ? `, from the ${readoutOf(run)}` : "";
    setText(this.gridTitle, `Layers and heads${from}`);
    const choices = measures(run);
    fillSelect(
      this.measure,
      [
        { value: "", label: "none" },
        ...choices.map(({ name, title, description }) => ({
          value: name,
          label: title,
          title: description,
        })),
      ],
      measure?.name ?? "",
    );
    this.measureField.hidden = !choices.length;
    this.changed.hidden = !changed;
    if (changed) {
      this.changedLayer = changed.layer;
      setText(this.changed, `◆ layer ${changed.layer + 1} changed most since the baseline`);
      this.changed.title = changed.title ? `${changed.title}: ${short(changed.value)}` : "";
    }
    const best = measure?.best;
    this.best.hidden = !best;
    if (best) {
      this.bestPlace = { layer: best.layer, head: best.head };
      const place = `layer ${best.layer + 1}${best.head === null ? "" : `, head ${best.head + 1}`}`;
      setText(
        this.best,
        `○ highest ${measure.title.toLowerCase()}: ${place} (${short(best.value)})`,
      );
    }
    this.frozen.hidden = run.setup.layers.every(({ trainable }) => trainable !== false);
    let note = "";
    if (!isComparable) note = "The two runs differ in layers, heads or grid.";
    else if (records.some(({ isMissing }) => isMissing))
      note = "Single heads were not logged at this epoch.";
    setText(this.gridNote, note);
  }

  /** The charts come after the pictures, and while a person scrubs not for every epoch. */
  _chartSoon(shown) {
    this.toChart = shown;
    this.charting ??= setTimeout(() => {
      this.charting = null;
      this._showCharts(this.toChart);
    }, CHART_MS);
  }

  _showCharts(shown) {
    const { a, b, selection } = shown;
    const pick = { probe: a.probe, layer: selection.layer, head: selection.head };
    const dark = document.documentElement.dataset.theme === "dark";
    const other = b && b.run !== a.run ? b.run : null;
    const signature = JSON.stringify([
      a.run.name,
      a.run.epochs.length,
      other?.name,
      other?.epochs.length,
      pick,
      dark,
      b?.probe,
    ]);
    const comparedStep = b ? b.step : null;
    if (signature === this.signature && this.charted === a.run.epochs) {
      this.charts.setStep(a.step, comparedStep);
      return;
    }
    this.signature = signature;
    this.charted = a.run.epochs;
    const groups = chartGroups(a.run, pick);
    this.charts.update({
      steps: a.run.steps,
      groups,
      step: a.step,
      dark,
      nameStep: (step) => epochName(a.run, step),
      nameTick: (step) => (a.run.isBaseline(step) ? "start" : String(step + 1)),
      compare: b
        ? {
            steps: b.run.steps,
            step: b.step,
            label: b.run.title,
            ...(other ? { groups: chartGroups(other, { ...pick, probe: b.probe }) } : {}),
          }
        : null,
    });
    this.parts.charts.hidden = !groups.length;
  }

  _showProblems(runs) {
    const problems = runs.flatMap(({ setup }) => setup.problems ?? []);
    const { problems: box } = this.parts;
    box.hidden = !problems.length;
    const signature = problems.join("\n");
    if (!problems.length || box.dataset.signature === signature) return;
    box.dataset.signature = signature;
    box.replaceChildren(
      el("summary", {
        text:
          problems.length === 1
            ? "1 part of the log can't be read"
            : `${problems.length} parts of the log can't be read`,
      }),
      el("ul", {}, ...problems.map((text) => el("li", { text }))),
    );
  }
}

function readoutOf({ setup }) {
  return setup.readout ?? "read-out";
}

/** Returns the keys of blobs worth having soon: those of the epochs ahead, then those behind. */
export function keysAhead({ a, b, selection }, direction) {
  return [a, b].filter(Boolean).flatMap((side) => {
    const at = side.run.indices.get(side.step);
    const steps = [];
    for (let i = 1; i <= AHEAD; i += 1) {
      steps.push(side.run.steps[at + direction * i]);
      if (i <= BEHIND) steps.push(side.run.steps[at - direction * i]);
    }
    const known = steps.filter((step) => step !== undefined);
    const own = selectionFor(selection, side);
    const heads = { ...own, patch: null, layer: 0 };
    return [...keysOf(side.run, own, known), ...keysOf(side.run, heads, known)];
  });
}

function headsRecord(run, probe, step) {
  const keys = run.keys("heads", probe);
  if (!keys.value) return { record: null, promise: keys.promise };
  const key = keys.value.get(step);
  if (!key) return { record: null, promise: null, isMissing: true };
  const failure = run.blobs.failure(key);
  if (failure) return { record: null, promise: null, failure };
  const record = run.blobs.peek(key);
  return { record, promise: record ? null : run.blobs.get(key) };
}

function sameHeads(a, b) {
  const shape = ({ setup }) =>
    JSON.stringify([setup.head_grid, setup.layers.map(({ heads }) => heads)]);
  return shape(a) === shape(b);
}
