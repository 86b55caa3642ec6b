/** Draws the whole page from what is to be shown. */

import { createCharts } from "./charts.js";
import { Choosers, Looks } from "./controls.js";
import { el, fillSelect, setText } from "./dom.js";
import { HeadsGrid } from "./heads.js";
import { keysOf } from "./maps.js";
import { PicturePane } from "./picture.js";
import { ProbeStrip } from "./probes.js";
import { chartGroups, measureAt, measures, mostChanged } from "./series.js";
import { short } from "./paint.js";
import { Timeline, epochName } from "./timeline.js";
import { Tip } from "./tip.js";
import { describe, paneViews, selectionFor } from "./views.js";

const AHEAD = 24;
const BEHIND = 8;

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
    this.panes = ["a", "b", "difference"].map((name) => new PicturePane(parts.panes, name, {
      onPatch: (patch, map) => app.ask(patch, map),
      onHover: (patch) => this.panes.forEach((pane) => pane.hover(patch)),
    }));
    this.heads = new HeadsGrid(parts.grid, { onPick: (layer, head) => app.pickHead(layer, head), tip });
    this.timeline = new Timeline(parts.timeline, app.timelineHandlers);
    this.charts = createCharts(parts.charts, { onStep: (step) => app.goTo(step, false) });
    this._gridHead();
    this._legend();
    this.back = el("button", { type: "button", class: "plain", id: "back", on: { click: () => change({ patch: null }) } });
    this.askingText = el("span", {});
    parts.asking.append(this.askingText, this.back);
  }

  /** Shows what was resolved; returns a promise where something is still to come, else null. */
  show(shown, runs) {
    const { a, b, selection } = shown;
    this.choosers.show({ ...this.app.state, ...selection }, runs, a.run);
    this.looks.show(shown);
    this.probes.show(a.run, a.step, a.probe, shown.wrong);
    this.parts.view.classList.toggle("is-comparison", Boolean(b));
    const promises = [this._showPanes(shown), this._showHeads(shown)].filter(Boolean);
    this.timeline.show(a, b, { isPlaying: this.app.isPlaying, speed: shown.speed, isLinked: shown.linked });
    setText(this.askingText, describe(a.run, selection));
    setText(this.back, `Back to the ${a.run.setup.readout ?? "read-out"} (Esc)`);
    this.back.hidden = !selection.patch;
    this._showCharts(shown);
    this._showProblems(b && b.run !== a.run ? [a.run, b.run] : [a.run]);
    return promises.length ? Promise.all(promises) : null;
  }

  get paneHeight() {
    return Math.round(Math.min(window.innerHeight * 0.56, 620));
  }

  _showPanes(shown) {
    const { views, promise } = paneViews({ ...shown, nearestLogged: nearestLogged }, {
      goTo: (step, isSecond) => this.app.goTo(step, isSecond),
      pickProbe: (probe) => this.app.change({ probe }),
    });
    this.views = views;
    const panes = shown.b ? this.panes : this.panes.slice(0, 1);
    this.panes.forEach((pane) => Object.assign(pane.root, { hidden: !panes.includes(pane) }));
    panes.forEach((pane, i) => {
      pane.height = this.paneHeight;
      pane.show(views[i]);
    });
    return promise;
  }

  _showHeads(shown) {
    const sides = { a: [shown.a], b: [shown.b], difference: [shown.a, shown.b] }[shown.grid];
    const [side, other] = sides;
    const records = sides.map((each) => headsRecord(each.run, each.probe, each.step));
    const baseline = side.run.baseline === null ? null : headsRecord(side.run, side.probe, side.run.baseline);
    const changed = mostChanged(side.run, side.step, records[0].record, baseline?.record);
    const measure = other ? null : measureAt(side.run, shown.measure, side.step);
    const isReady = records.every(({ record }) => record);
    const isComparable = !other || sameHeads(side.run, other.run);
    this.heads.show({
      id: `${side.run.name}|${side.step}|${side.probe}|${shown.grid}`,
      run: side.run,
      record: isReady && isComparable ? records[0].record : null,
      other: records[1]?.record ?? null,
      difference: Boolean(other),
      look: {
        colors: other ? "coolwarm" : shown.colors,
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
      height: this.paneHeight + 48,
      isLoading: !isReady && records.some(({ promise }) => promise),
    });
    this._tell(shown, side, changed, measure, isComparable, records);
    return Promise.all(records.map(({ promise }) => promise).filter(Boolean)).then(() => isReady);
  }

  _aspect({ run, picture }) {
    const [rows, columns] = run.setup.grid;
    return Math.min(2.2, Math.max(0.45, picture ? picture.height / picture.width : rows / columns));
  }

  _gridHead() {
    this.gridTitle = el("h2", { text: "Layers and heads" });
    this.side = el("select", { id: "grid-side", on: { change: () => this.app.change({ grid: this.side.value }) } });
    fillSelect(this.side, [{ value: "a", label: "A" }, { value: "b", label: "B" }, { value: "difference", label: "A − B" }], "a");
    this.sideField = el("label", { class: "field", for: "grid-side" }, el("span", { text: "of" }), this.side);
    this.measure = el("select", { id: "measure", on: { change: () => this.app.change({ measure: this.measure.value }) } });
    this.measureField = el("label", { class: "field", for: "measure" }, el("span", { text: "Bars" }), this.measure);
    this.parts.gridHead.append(this.gridTitle, this.sideField, el("span", { class: "space" }), this.measureField);
  }

  _legend() {
    const button = (id) => el("button", { type: "button", class: "plain", id, hidden: true });
    this.changed = button("most-changed");
    this.best = button("best-head");
    this.frozen = el("span", { class: "muted", id: "frozen-note", text: "gray: frozen" });
    this.gridNote = el("span", { class: "muted", id: "grid-note" });
    this.changed.addEventListener("click", () => this.app.change({ layer: this.changedLayer, head: null }));
    this.best.addEventListener("click", () => this.app.change(this.bestPlace));
    this.parts.legend.append(this.changed, this.best, this.frozen, this.gridNote);
  }

  _tell(shown, { run }, changed, measure, isComparable, records) {
    this.sideField.hidden = !shown.b;
    this.side.value = shown.grid;
    const choices = measures(run);
    fillSelect(this.measure, [
      { value: "", label: "none" },
      ...choices.map(({ name, title, description }) => ({ value: name, label: title, title: description })),
    ], choices.some(({ name }) => name === shown.measure) ? shown.measure : "");
    this.measureField.hidden = !choices.length || shown.grid === "difference";
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
      setText(this.best, `○ highest ${measure.title.toLowerCase()}: ${place} (${short(best.value)})`);
    }
    this.frozen.hidden = run.setup.layers.every(({ trainable }) => trainable !== false);
    let note = "";
    if (!isComparable) note = "The two runs differ in layers, heads or grid.";
    else if (records.some(({ isMissing }) => isMissing)) note = "Single heads were not logged at this epoch.";
    setText(this.gridNote, note);
  }

  _showCharts(shown) {
    const { a, b, selection } = shown;
    const pick = { probe: a.probe, layer: selection.layer, head: selection.head };
    const dark = document.documentElement.dataset.theme === "dark";
    const other = b && b.run !== a.run ? b.run : null;
    const signature = JSON.stringify([a.run.name, a.run.epochs.length, other?.name, other?.epochs.length, pick, dark, b?.probe]);
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
      compare: b ? {
        steps: b.run.steps,
        step: b.step,
        label: b.run.name,
        ...(other ? { groups: chartGroups(other, { ...pick, probe: b.probe }) } : {}),
      } : null,
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
      el("summary", { text: problems.length === 1 ? "1 part of the log can't be read" : `${problems.length} parts of the log can't be read` }),
      el("ul", {}, ...problems.map((text) => el("li", { text }))),
    );
  }
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
  const record = run.blobs.peek(key);
  return { record, promise: record ? null : run.blobs.get(key) };
}

/** Returns the step nearest to `step` at which what a selection needs was logged, or null. */
function nearestLogged(run, { probe, method, layer, patch }, step) {
  const kind = patch ? (layer === null ? "tokens" : "full") : "heads";
  const steps = [...(run.keys(kind, probe, { method, layer }).value?.keys() ?? [])];
  if (!steps.length) return null;
  return steps.reduce((best, each) => (Math.abs(each - step) < Math.abs(best - step) ? each : best));
}

function sameHeads(a, b) {
  const shape = ({ setup }) => JSON.stringify([setup.head_grid, setup.layers.map(({ heads }) => heads)]);
  return shape(a) === shape(b);
}
