// @ts-check
/** Draws the whole page from what is to be shown. */

import { chartedMethod, chartGroups } from "./charts/chart_groups.js";
import { createCharts } from "./charts/charts.js";
import { Distributions } from "./charts/gate_distribution.js";
import { smallestGrid } from "./heads/head_grid_layout.js";
import { Multiples } from "./heads/head_maps.js";
import { el, setText } from "./lib/dom.js";
import { hasMaps, hasTokens } from "./log/gates.js";
import { Choosers, Looks } from "./page/choosers.js";
import { paneViews } from "./page/panes.js";
import { aspectOf } from "./page/picture.js";
import { PicturePane } from "./page/picture_pane.js";
import { ProbeStrip } from "./page/probe_strip.js";
import { Timeline } from "./page/timeline.js";
import { Tip } from "./page/tip.js";
import { epochName, epochOf, plural, readoutOf, runTitle, selectionName } from "./page/words.js";

/** @import { AttentionMap } from "./log/maps.js" */
/** @import { Run } from "./log/run.js" */
/** @import { Parts } from "./page/layout.js" */
/** @import { View } from "./page/picture_pane.js" */
/** @import { Handlers as TimelineHandlers } from "./page/timeline.js" */
/** @import { Shown } from "./state/resolve.js" */
/** @import { State } from "./state/state.js" */

/**
 * What a person does on the page.
 * @typedef {Object} Actions
 * @property {(changes: Partial<State>) => void} change
 * @property {(patch: number[], map: AttentionMap) => void} ask
 * @property {(layer: number, head: number | null) => void} pickHead
 * @property {(step: number, isSecond: boolean) => void} goTo
 * @property {() => void} draw has all of the page shown soon.
 * @property {TimelineHandlers} timeline
 */

/** @typedef {{height: number, pane: number, grid: number, gridHeight: number}} Sizes in pixels. */

const CHARTS = 290; // pixels at least, where the charts stand beside the pictures
const GAP = 28;
const AROUND = 136; // pixels for a pane's title, read-out and color bar
const CHART_MS = 80;
const TALLEST = 640;
const SHORTEST = 300;

export class Screen {
  /**
   * @param {Parts} parts
   * @param {Actions} actions
   */
  constructor(parts, actions) {
    const { change } = actions;
    this.parts = parts;
    this.actions = actions;
    /** @type {View[]} */
    this.views = [];
    /** @type {Error | null} why something can't be read */
    this.failure = null;
    /** @type {Sizes | null} */
    this.sizes = null;
    this.arranged = "";
    /** @type {Shown | null} what the charts show next */
    this.toChart = null;
    this.charted = { signature: "", epochs: /** @type {Run["epochs"]} */ ([]) };
    const tip = new Tip();
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
          onPatch: actions.ask,
          onHover: (patch) => {
            for (const pane of this.panes) pane.hover(patch);
          },
        }),
    );
    this.multiples = new Multiples(parts, {
      change,
      pickHead: actions.pickHead,
      draw: actions.draw,
      tip,
    });
    this.timeline = new Timeline(parts.timeline, actions.timeline);
    this.charts = createCharts(parts.charts, {
      onStep: (step) => actions.goTo(step, false),
    });
    this.distributions = new Distributions(parts.charts, tip);
    this.back = el("button", {
      type: "button",
      class: "plain",
      id: "back",
      on: { click: () => change({ patch: null }) },
    });
    this.askingText = el("span", {});
    parts.asking.append(this.askingText, this.back);
  }

  /** Whether all pictures are drawn. */
  get isReady() {
    return !this.views.some(({ isLoading }) => isLoading);
  }

  /**
   * Shows what was resolved; returns a promise where something is still to come, else null.
   *
   * @param {Shown} shown
   * @param {{runs: {run: string}[], state: State, isPlaying: boolean}} app
   */
  show(shown, { runs, state, isPlaying }) {
    const { a, b, selection } = shown;
    this.choosers.show({ ...state, ...selection }, runs, a.run);
    this.looks.show(shown);
    this.probes.show(a.run, a.step, a.probe, shown.wrong);
    this._showProblems(b && b.run !== a.run ? [a.run, b.run] : [a.run]);
    this.timeline.show(a, b, {
      isPlaying,
      speed: shown.speed,
      isLinked: shown.linked,
    });
    setText(this.askingText, selectionName(a.run, selection));
    setText(this.back, `Back to the ${readoutOf(a.run)} (Esc)`);
    this.back.hidden = !selection.patch;
    this._hideMeaningless([a.run, ...(b ? [b.run] : [])]);
    const sizes = this._arrange(shown);
    const promises = [this._showPanes(shown, sizes), ...this.multiples.soon(shown, sizes)];
    this._chartSoon(shown);
    return promises.some(Boolean) ? Promise.all(promises) : null;
  }

  /**
   * Hides what has no meaning: without maps their colors, without tokens what asks them.
   *
   * @param {Run[]} runs
   */
  _hideMeaningless(runs) {
    const { viewHead, saveFilm, needing } = this.parts;
    const have = {
      maps: runs.some(hasMaps),
      layers: runs.some(({ setup }) => setup.layers.length > 0),
      tokens: runs.some(hasTokens),
    };
    viewHead.hidden = saveFilm.hidden = !have.maps;
    for (const { node, needs } of needing) node.hidden = !have[needs];
  }

  /**
   * Decides what stands beside what; returns the pixels that a pane and a grid may take.
   *
   * @param {Shown} shown
   * @returns {Sizes}
   */
  _arrange({ a, b }) {
    const { view, charts, page, problems, asking } = this.parts;
    // Measuring makes the browser lay out the page: only after what can change the result.
    const signature = JSON.stringify([
      window.innerWidth,
      window.innerHeight,
      problems.hidden,
      aspectOf(a),
      Boolean(b),
      a.run.name,
      asking.textContent?.length,
    ]);
    if (this.sizes && signature === this.arranged) return this.sizes;
    this.arranged = signature;
    const width = view.clientWidth;
    const height = this._height();
    const pane = Math.round(Math.min(width * 0.45, height / aspectOf(a)));
    const rest = width - pane - 2 * GAP - CHARTS;
    const isBeside = !b && rest >= smallestGrid(a.run, aspectOf(a));
    view.classList.toggle("is-comparison", Boolean(b));
    view.classList.toggle("has-charts", isBeside);
    view.classList.toggle("has-no-grid", !a.run.setup.layers.length);
    if (isBeside !== (charts.parentNode === view)) (isBeside ? view : page).append(charts);
    const beside = isBeside ? rest : width - pane - GAP;
    this.sizes = b
      ? this._threeColumns(width, height)
      : { height, pane, grid: beside, gridHeight: height + 34 };
    return this.sizes;
  }

  /**
   * Returns the sizes of a comparison.
   *
   * @param {number} width
   * @param {number} height
   */
  _threeColumns(width, height) {
    const column = Math.floor((width - 2 * GAP) / 3);
    this.parts.side.style.width = "";
    return { height, pane: column, grid: column, gridHeight: height };
  }

  /** Returns the height of a picture with which all of the view stands on the screen. */
  _height() {
    const { panes, timeline } = this.parts;
    const above = panes.getBoundingClientRect().top + window.scrollY;
    const room = window.innerHeight - above - timeline.offsetHeight - AROUND;
    return Math.round(Math.min(TALLEST, Math.max(SHORTEST, room)));
  }

  /**
   * @param {Shown} shown
   * @param {Sizes} sizes
   */
  _showPanes(shown, { height, pane: room }) {
    const { views, promise, failure } = paneViews(shown, {
      goTo: this.actions.goTo,
      pickProbe: (probe) => this.actions.change({ probe }),
    });
    this.views = views;
    this.failure = failure;
    this.panes.forEach((pane, i) => {
      pane.root.hidden = i >= views.length;
      if (!pane.root.hidden) pane.show(views[i], { height, room });
    });
    return promise;
  }

  /**
   * The charts come after the pictures, and while a person scrubs not for every epoch.
   *
   * @param {Shown} shown
   */
  _chartSoon(shown) {
    const isDue = this.toChart !== null;
    this.toChart = shown;
    if (isDue) return;
    setTimeout(() => {
      const latest = this.toChart;
      this.toChart = null;
      if (latest) this._showCharts(latest);
    }, CHART_MS);
  }

  /** @param {Shown} shown */
  _showCharts(shown) {
    const { a, b, selection } = shown;
    const { layer, head } = selection;
    const method = chartedMethod(a.run, selection.method);
    const pick = { method, probe: a.probe, layer, head };
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
    const hasDistributions = this._showDistributions(shown, dark);
    if (signature === this.charted.signature && this.charted.epochs === a.run.epochs) {
      this.charts.setStep(a.step, comparedStep);
      return;
    }
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
            label: runTitle(b.run.name),
            ...(other ? { groups: chartGroups(other, { ...pick, probe: b.probe }) } : {}),
          }
        : null,
    });
    this.parts.charts.hidden = !groups.length && !hasDistributions;
    // Only now: charts that could not be drawn are tried again.
    this.charted = { signature, epochs: a.run.epochs };
  }

  /**
   * @param {Shown} shown
   * @param {boolean} dark
   */
  _showDistributions({ a, b }, dark) {
    const named = (b ? [a, b] : [a]).map(({ run, step }, i) => {
      const title = b && b.run !== a.run && runTitle(run.name);
      const parts = [b && "AB"[i], epochOf(run, step), title];
      return { run, step, name: parts.filter(Boolean).join(" · ") };
    });
    return this.distributions.show(named, dark);
  }

  /** @param {Run[]} runs */
  _showProblems(runs) {
    const problems = runs.flatMap(({ setup }) => setup.problems ?? []);
    const { problems: box } = this.parts;
    box.hidden = !problems.length;
    const signature = problems.join("\n");
    if (!problems.length || box.dataset.signature === signature) return;
    box.dataset.signature = signature;
    box.replaceChildren(
      el("summary", { text: `${plural(problems.length, "part")} of the log can't be read` }),
      el("ul", {}, ...problems.map((text) => el("li", { text }))),
    );
  }
}
