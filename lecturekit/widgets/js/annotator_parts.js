// The parts round the annotator's picture: chips for tools and classes, and the list of what was drawn.

import { clamp, element, focusable, keepInSight, remember, swatch } from "./dom.js";
import { KINDS } from "./geometry.js";

const ICONS = {
  select: "M4 2l9 6-4 1 2 4-2 1-2-4-3 3z", point: "M8 1v4M8 11v4M1 8h4M11 8h4M8 7.5a.5.5 0 100 1 .5.5 0 100-1",
  scribble: "M2 11c2-8 4-8 5-3s3 5 3 0 2-5 4-2", box: "M2.5 3.5h11v9h-11z",
  extreme: "M8 2.5v.1M13.5 7v.1M8 13.5v.1M2.5 9v.1M5 5h6v6H5z", polygon: "M8 2l6 5-3 7H4L2 6z",
  brush: "M14 2L7 9M7 9c-3-1-3 3-5 4 3 1 7 0 5-4z", eraser: "M2 11l6-7 5 4-5 6H5zM6 14h8",
  pan: "M8 1v14M1 8h14M8 1L6 3M8 1l2 2M8 15l-2-2M8 15l2-2M1 8l2-2M1 8l2 2M15 8l-2-2M15 8l-2 2",
};

/** The sign of a tool. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", ICONS[name]);
  for (const [key, value] of Object.entries({ viewBox: "0 0 16 16", "aria-hidden": "true" })) svg.setAttribute(key, value);
  svg.append(path);
  return svg;
}

/** A group of radio buttons that look like chips; one stop for the Tab key, arrow keys choose. */
export class Chips {
  constructor(view, name, title, options, choose) {
    this.inputs = new Map();
    const chips = options.map(({ value, label, key, mark }) => {
      const input = focusable("input", { type: "radio", name: view.id(name), value: String(value) });
      if (key) input.setAttribute("aria-keyshortcuts", key);
      input.addEventListener("change", () => choose(value));
      this.inputs.set(value, input);
      const hint = key ? [element("kbd", { "aria-hidden": "true" }, key)] : [];
      return element("label", { className: "lka-chip", title: key ? `${label} (key ${key.toUpperCase()})` : label },
        input, mark, element("span", { className: "lka-name" }, label), ...hint);
    });
    this.root = element("fieldset", { className: `lka-chips lka-${name}` }, element("legend", {}, title),
      element("div", { className: "lka-row" }, ...chips));
  }

  update(value) {
    for (const [own, input] of this.inputs) input.checked = own === value;
  }
}

/** Which classes are in the picture at all: a label for the whole of it. */
export class Ticks {
  constructor(view) {
    this.view = view;
    this.inputs = view.classes.map(([name, colour], i) => {
      const input = focusable("input", { type: "checkbox" });
      input.addEventListener("change", () => view.tick(i + 1, input.checked));
      return [input, element("label", { className: "lka-chip" }, input, swatch(colour),
        element("span", { className: "lka-name" }, name))];
    });
    this.root = element("fieldset", { className: "lka-chips lka-ticks" }, element("legend", {}, "In the picture"),
      element("div", { className: "lka-row" }, ...this.inputs.map(([, label]) => label)));
  }

  update() {
    const ticked = new Set(this.view.labels.list.filter((l) => l.kind === "image_class").map((l) => l.class_index));
    this.inputs.forEach(([input], i) => { input.checked = ticked.has(i + 1); });
  }
}

/** The finished labels; one stop for the Tab key, arrow keys select, Delete deletes. */
export class List {
  constructor(view) {
    this.view = view;
    this.count = element("span", { className: "lka-soft" });
    this.none = element("p", { className: "lka-soft" }, "Nothing drawn yet.");
    this.list = focusable("ul", {
      className: "lka-list", role: "listbox", tabIndex: 0, "aria-labelledby": view.id("labels"),
    });
    this.root = element("div", { className: "lka-labels" },
      element("div", { className: "lka-head" }, element("b", { id: view.id("labels") }, "Labels"), this.count),
      this.none, this.list);
    this.fill = remember((selected, ...labels) => this.draw(selected, labels));
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("click", (event) => {
      const row = /** @type {any} */ (event.target).closest("[data-id]");
      if (row) view.choose(row.dataset.id);
    });
  }

  update() {
    this.fill(this.view.selectedId, ...this.view.labels.list);
  }

  draw(selected, labels) {
    this.count.textContent = labels.length ? String(labels.length) : "";
    this.none.hidden = labels.length > 0;
    this.list.hidden = !labels.length;
    this.list.replaceChildren(...labels.map((label, i) => this.row(label, i + 1, label.id === selected)));
    const chosen = this.list.querySelector("[aria-selected=true]");
    if (!chosen) return this.list.removeAttribute("aria-activedescendant");
    this.list.setAttribute("aria-activedescendant", chosen.id);
    keepInSight(chosen, this.list);
  }

  row(label, number, selected) {
    const seconds = `${(label.milliseconds / 1000).toFixed(1)} s`;
    return element("li", {
      className: "lka-item", role: "option", id: this.view.id(`label-${number}`), "data-id": label.id,
      "aria-selected": String(selected),
    }, swatch(this.view.colour(label.class_index)),
    element("span", { className: "lka-name" }, `${label.class_index} ${this.view.className(label.class_index)}, `
      + KINDS[label.kind]), element("span", { className: "lka-soft" }, seconds));
  }

  key(event) {
    const ids = this.view.labels.list.map(({ id }) => id);
    const place = ids.indexOf(this.view.selectedId);
    const next = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: ids.length - 1 }[event.key];
    if (next === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.view.choose(ids[clamp(next, 0, ids.length - 1)]);
  }
}
