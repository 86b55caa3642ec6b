/** Elements without markup in strings: what comes from a log is only ever set as text. */

/**
 * Returns a new element.
 *
 * @param {string} tag
 * @param {Object} settings `text`, `class`, `data` (object), `on` (event to handler); any other
 *     name is an attribute, left out where its value is null or false.
 * @param {...(Node|string|null)} children
 */
export function el(tag, settings = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (name === "text") node.textContent = value;
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "on") {
      for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    } else if (value !== null && value !== false && value !== undefined) {
      node.setAttribute(name, value === true ? "" : value);
    }
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Sets an element's text, and touches the page only where it differs. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Lets the mouse leave the focus on the element that has it, so that keys go on moving the epoch;
 * the window itself takes it, which TensorBoard around it has at first.
 */
export function keepFocus(node) {
  node.addEventListener("mousedown", (event) => {
    event.preventDefault();
    window.focus();
  });
}

/** Shows a select's options: `[{value, label, group, title, disabled}]`, and chooses `value`. */
export function fillSelect(select, options, value) {
  const signature = JSON.stringify(options);
  if (select.dataset.signature !== signature) {
    select.dataset.signature = signature;
    const groups = new Map();
    const nodes = [];
    for (const { group, value: each, label, title, disabled } of options) {
      const option = el("option", { value: each, text: label, title: title || null, disabled });
      if (!group) nodes.push(option);
      else {
        if (!groups.has(group)) {
          groups.set(group, el("optgroup", { label: group }));
          nodes.push(groups.get(group));
        }
        groups.get(group).append(option);
      }
    }
    select.replaceChildren(...nodes);
  }
  select.value = value;
}

/** Returns an icon, drawn with a path in a box of 24 x 24. */
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
