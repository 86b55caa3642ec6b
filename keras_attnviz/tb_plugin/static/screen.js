/** Draws the whole page from what is to be shown. */

import { createCharts } from "./charts/charts.js";
import { Choosers, Looks } from "./page/choosers.js";
import { Distributions } from "./page/gate_distribution.js";
import { el, setText } from "./lib/dom.js";
import { hasMaps, hasTokens } from "./log/gates.js";
import { smallestGrid } from "./heads/head_grid_layout.js";
import { Multiples } from "./heads/head_maps.js";
import { PicturePane, aspectOf } from "./page/picture_pane.js";
import { ProbeStrip } from "./page/probe_strip.js";
import { chartGroups, chartedMethod } from "./log/metrics.js";
import { Timeline, epochName, epochOf } from "./page/timeline.js";
import { Tip } from "./page/tip.js";
import { describe, paneViews, readoutOf } from "./page/panes.js";

const CHARTS = 290; // pixels at least, where the charts stand beside the pictures
const GAP = 28;
const AROUND = 136; // pixels for a pane's title, read-out and color bar
const CHART_MS = 80;
const TALLEST = 640;
const SHORTEST = 300;

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
    this.multiples = new Multiples(parts, {
      change,
      pickHead: (layer, head) => app.pickHead(layer, head),
      draw: () => app.draw(),
      tip,
    });
    this.timeline = new Timeline(parts.timeline, app.timelineHandlers);
    this.charts = createCharts(parts.charts, { onStep: (step) => app.goTo(step, false) });
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
    this._hideMeaningless([a.run, ...(b ? [b.run] : [])]);
    this.sizes = this._arrange(shown);
    const promises = [this._showPanes(shown), ...this.multiples.soon(shown, this.sizes)];
    this._chartSoon(shown);
    return promises.some(Boolean) ? Promise.all(promises) : null;
  }

  /** Hides what has no meaning: without maps their colors, without tokens what asks them. */
  _hideMeaningless(runs) {
    const { viewHead, saveFilm, needing } = this.parts;
    const have = {
      maps: runs.some(hasMaps),
      layers: runs.some(({ setup }) => setup.layers.length),
      tokens: runs.some(hasTokens),
    };
    viewHead.hidden = saveFilm.hidden = !have.maps;
    for (const { node, needs } of needing) node.hidden = !have[needs];
  }

  /** Decides what stands beside what; returns the pixels that a pane and a grid may take. */
  _arrange({ a, b }) {
    const { view, charts, page, side, problems, asking } = this.parts;
    // Measuring makes the browser lay out the page: only after what can change the result.
    const signature = JSON.stringify([
      window.innerWidth,
      window.innerHeight,
      problems.hidden,
      aspectOf(a),
      Boolean(b),
      a.run.name,
      asking.textContent.length,
    ]);
    if (signature === this.arranged) return this.sizes;
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
    this.parts.charts.hidden = !groups.length && !hasDistributions;
  }

  _showDistributions({ a, b }, dark) {
    const named = (b ? [a, b] : [a]).map(({ run, step }, i) => {
      const parts = [b && "AB"[i], epochOf(run, step), b && b.run !== a.run && run.title];
      return { run, step, name: parts.filter(Boolean).join(" · ") };
    });
    return this.distributions.show(named, dark);
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
