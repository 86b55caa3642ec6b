// @ts-check
/** Elements without markup in strings: what comes from a log is only ever set as text. */

/** @typedef {string | number | boolean | null | undefined} Attribute */

/**
 * An option of a select.
 * @typedef {Object} Option
 * @property {string | number} value
 * @property {string} label
 * @property {string} [group] title of the group that the option stands in.
 * @property {string} [title]
 * @property {boolean} [disabled]
 */

/**
 * Returns a new element.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {{text?: string, data?: Object<string, string | number>,
 *     on?: Object<string, () => void>} & Object<string, Attribute | Object<string, unknown>>}
 *     settings any other name is an attribute, left out where its value is null or false.
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, settings = {}, ...children) {
  const node = document.createElement(tag);
  const { text, data, on, ...attributes } = settings;
  if (text !== undefined) node.textContent = text;
  Object.assign(node.dataset, data);
  for (const [event, handler] of Object.entries(on ?? {})) node.addEventListener(event, handler);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false || value === undefined) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children);
  return node;
}

/**
 * Sets an element's text, and touches the page only where it differs.
 *
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Lets the mouse leave the focus on the element that has it, so that keys go on moving the epoch;
 * the window itself takes it, which TensorBoard around it has at first.
 *
 * @param {HTMLElement} node
 */
export function keepFocus(node) {
  node.addEventListener("mousedown", (event) => {
    event.preventDefault();
    window.focus();
  });
}

/**
 * Shows a select's options, and chooses `value`.
 *
 * @param {HTMLSelectElement} select
 * @param {Option[]} options
 * @param {string | number} value
 */
export function fillSelect(select, options, value) {
  const signature = JSON.stringify(options);
  if (select.dataset.signature !== signature) {
    select.dataset.signature = signature;
    /** @type {Map<string, HTMLOptGroupElement>} */
    const groups = new Map();
    const nodes = [];
    for (const { group, value: each, label, title, disabled } of options) {
      const option = el("option", { value: each, text: label, title: title || null, disabled });
      const box = group ? (groups.get(group) ?? el("optgroup", { label: group })) : null;
      if (group && box && !groups.has(group)) {
        groups.set(group, box);
        nodes.push(box);
      }
      if (box) box.append(option);
      else nodes.push(option);
    }
    select.replaceChildren(...nodes);
  }
  select.value = String(value);
}

/**
 * Returns an icon.
 *
 * @param {string} path that is filled, in a box of 24 x 24.
 * @returns {SVGSVGElement}
 */
export function icon(path) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(space, "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

export const ICONS = {
  first: "M6 5h2.5v14H6zM19 5v14l-9.5-7z",
  previous: "M17 5v14L7 12z",
  play: "M7 4.5v15l12-7.5z",
  pause: "M6.5 5h4v14h-4zM13.5 5h4v14h-4z",
  next: "M7 5v14l10-7z",
  last: "M15.5 5H18v14h-2.5zM5 5v14l9.5-7z",
};
