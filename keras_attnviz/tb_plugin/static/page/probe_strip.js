/** The strip of probe images, with marks for right and wrong predictions at the chosen epoch. */

import { el, keepFocus, setText } from "../lib/dom.js";

export class ProbeStrip {
  constructor(container, { onPick, onWrong, tip }) {
    Object.assign(this, { onPick, tip });
    this.name = el("strong", { class: "probe-name" });
    this.label = el("span", { class: "probe-label" });
    this.count = el("span", { class: "probe-count" });
    this.wrong = el("input", { type: "checkbox", id: "only-wrong" });
    this.wrong.addEventListener("change", () => onWrong(this.wrong.checked));
    this.filter = el("label", { class: "check", for: "only-wrong" }, this.wrong, "only wrong ones");
    this.list = el("div", {
      class: "probe-list",
      role: "listbox",
      "aria-label": "Probe images",
      "aria-orientation": "horizontal",
    });
    container.append(
      el(
        "div",
        { class: "probe-head" },
        this.name,
        this.label,
        el("span", { class: "space" }),
        this.count,
        this.filter,
      ),
      this.list,
    );
    this._listen();
  }

  /** Shows the probes of a run at a step; `chosen` is the probe's index. */
  show(run, step, chosen, onlyWrong) {
    if (
      this.run !== run ||
      this.pictures !== run.pictures ||
      this.size !== run.setup.probes.length
    ) {
      this._build(run);
    }
    const { probes } = run.setup;
    const predictions = probes.map((_, probe) => run.prediction(step, probe));
    let shown = 0;
    [...this.list.children].forEach((item, probe) => {
      const { isRight } = predictions[probe];
      const state = isRight === null ? "unknown" : isRight ? "right" : "wrong";
      if (item.dataset.state !== state) item.dataset.state = state;
      const words = describe(probes[probe].name, predictions[probe]);
      item.setAttribute("aria-label", `${words.title}. ${words.text}`);
      item.setAttribute("aria-selected", String(probe === chosen));
      item.hidden = onlyWrong && isRight !== false && probe !== chosen;
      shown += item.hidden ? 0 : 1;
      if (!this.list.contains(document.activeElement)) item.tabIndex = probe === chosen ? 0 : -1;
    });
    const known = predictions.filter(({ isRight }) => isRight !== null);
    const right = known.filter(({ isRight }) => isRight).length;
    setText(this.name, probes[chosen].name);
    this.name.title = probes[chosen].name;
    const { label } = predictions[chosen];
    setText(this.label, label === null ? "" : `labeled ${label}`);
    setText(
      this.count,
      known.length ? `${right} of ${known.length} right` : plural(probes.length, "probe"),
    );
    this.filter.hidden = !known.length;
    this.wrong.checked = onlyWrong;
    this.predictions = predictions;
    if (this.chosen !== chosen) {
      this.chosen = chosen;
      this.list.children[chosen]?.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }

  _build(run) {
    this.run = run;
    this.pictures = run.pictures;
    this.size = run.setup.probes.length;
    this.chosen = null;
    (this.addresses ?? []).forEach((address) => URL.revokeObjectURL(address));
    this.addresses = [];
    const addresses = this.addresses;
    this.list.replaceChildren(
      ...run.setup.probes.map((_, probe) => {
        const image = el("img", { alt: "", draggable: "false" });
        return el(
          "button",
          { type: "button", role: "option", class: "probe", tabindex: -1, data: { probe } },
          image,
          el("span", { class: "mark", "aria-hidden": "true" }),
        );
      }),
    );
    this.fill = () =>
      [...this.list.children].forEach(async (item, probe) => {
        const image = item.firstChild;
        if (image.src) return;
        try {
          const address = URL.createObjectURL(await run.picture(probe));
          addresses.push(address);
          image.src = address;
        } catch {
          item.classList.add("no-picture");
        }
      });
  }

  _listen() {
    const itemOf = ({ target }) => target.closest?.("button.probe");
    keepFocus(this.list);
    this.list.addEventListener("click", (event) => {
      const item = itemOf(event);
      if (item) this.onPick(Number(item.dataset.probe));
    });
    const tell = (event) => {
      const item = itemOf(event);
      if (!item) return this.tip.hide();
      const probe = Number(item.dataset.probe);
      return this.tip.show(
        item,
        describe(this.run.setup.probes[probe].name, this.predictions[probe]),
      );
    };
    this.list.addEventListener("pointerover", tell);
    this.list.addEventListener("focusin", tell);
    this.list.addEventListener("pointerleave", () => this.tip.hide());
    this.list.addEventListener("focusout", () => this.tip.hide());
    this.list.addEventListener("scroll", () => this.tip.hide(), { passive: true });
    this.list.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      const items = [...this.list.children].filter((item) => !item.hidden);
      const next = items[items.indexOf(itemOf(event)) + move];
      if (!next) return;
      items.forEach((item) => Object.assign(item, { tabIndex: item === next ? 0 : -1 }));
      next.focus();
      this.onPick(Number(next.dataset.probe));
    });
  }
}

/** Returns what is said of a probe. */
export function describe(name, { label, predicted, confidence, isRight }) {
  const parts = [];
  if (label !== null) parts.push(`labeled ${label}`);
  if (predicted !== null) {
    const sure = Number.isFinite(confidence) ? ` with ${percent(confidence)}` : "";
    parts.push(`predicted ${predicted}${sure}`);
  }
  if (isRight !== null) parts.push(isRight ? "right" : "wrong");
  return { title: name, text: parts.join(" · ") };
}

/** Returns a share in percent; only all of it is 100 %. */
export function percent(share) {
  if (share > 0.995 && share < 1) return `${Math.min(99.9, 100 * share).toFixed(1)} %`;
  return `${Math.round(100 * share)} %`;
}

function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
