// The parts round the explorer's pictures. Each is made once, from the `view` it belongs to, and has an `update`
// that costs little where nothing has changed.

import { chance, number } from "./cam_data.js";
import { clamp, element, focusable, keepInSight, remember } from "./dom.js";
import { colourise, evidenceAt, findClasses, ranking } from "./maps.js";

const ROWS = 60; // classes listed at once; typing narrows the list
const TOP_HERE = 5; // classes named in the read-out

/** The colour bar, the values of its ends, and a mark at the threshold. */
export class Legend {
  constructor(view) {
    this.view = view;
    this.bar = element("canvas", { className: "lk-bar", width: 256, height: 1, "aria-hidden": "true" });
    this.mark = element("div", { className: "lk-mark", "aria-hidden": "true" });
    this.ticks = element("div", { className: "lk-ticks" });
    this.root = element("div", { className: "lk-legend" },
      element("div", { className: "lk-bar-frame" }, this.bar, this.mark), this.ticks);
    this.fill = remember((...texts) => this.ticks.replaceChildren(...texts.map((t) => element("span", {}, t))));
    this.draw = remember((table) => {
      const ramp = Float32Array.from({ length: 256 }, (_, i) => i + 0.5);
      this.bar.getContext("2d").putImageData(new ImageData(colourise(ramp, 0, 256, table), 256, 1), 0, 0);
    });
  }

  update({ low, high, peak, table }) {
    const { signed, threshold } = this.view.state;
    this.draw(table);
    if (!(high > 0)) this.fill("no evidence", "", "");
    else if (signed) this.fill(`${number(low)} against`, "0", `for ${number(high)}`);
    else this.fill("0", "evidence for the class", number(high));
    this.mark.hidden = !(high > 0);
    this.mark.style.left = `${(100 * (threshold * Math.max(peak, 0) - low)) / (high - low || 1)}%`;
  }
}

/** Search among the classes: a text field and the list that it filters; arrow keys choose in the list. */
export class ClassList {
  constructor(view) {
    const { K } = view.data;
    this.view = view;
    this.list = element("ul", {
      className: "lk-list", role: "listbox", id: view.id("list"), "aria-label": "Classes",
    });
    this.search = focusable("input", {
      type: "text", className: "lk-search", role: "combobox", id: view.id("search"), autocomplete: "off",
      spellcheck: false, placeholder: `search ${K} classes`, "aria-controls": view.id("list"),
      "aria-expanded": "true", "aria-autocomplete": "list",
    });
    this.count = element("span", { className: "lk-count" });
    const label = element("label", { htmlFor: view.id("search") }, "Class");
    this.root = element("div", {},
      element("div", { className: "lk-head" }, label, this.count), this.search, this.list);
    this.draw = remember((query, chosen) => this.fill(query, chosen));
    this.listen();
  }

  update() {
    this.draw(this.search.value, this.view.state.class_index);
  }

  fill(query, chosen) {
    const found = findClasses(this.view.data.categories, this.view.data.order, query);
    const shown = found.slice(0, ROWS);
    if (!query && !shown.includes(chosen)) shown.unshift(chosen);
    const order = this.view.data.probabilities ? "most likely first" : "largest mean of the map first";
    this.count.textContent = query ? `${found.length} found` : order;
    this.list.replaceChildren(...shown.map((k) => this.row(k, k === chosen)));
    if (!shown.length) this.list.append(element("li", {
      className: "lk-none", role: "option", "aria-disabled": "true", "aria-selected": "false",
    }, `no class is called “${query.trim()}”`));
    const selected = this.list.querySelector("[aria-selected='true']");
    if (selected) this.search.setAttribute("aria-activedescendant", selected.id);
    else this.search.removeAttribute("aria-activedescendant");
    if (selected) keepInSight(selected, this.list);
  }

  row(k, selected) {
    const { id, data: { categories, probabilities } } = this.view;
    const p = probabilities?.[k];
    return barRow(categories[k], p === undefined ? "" : chance(p), p ?? 0, {
      id: id(`class-${k}`), role: "option", "aria-selected": String(selected), "data-index": k,
    });
  }

  listen() {
    this.search.addEventListener("input", () => this.view.show({}));
    this.search.addEventListener("keydown", (event) => {
      const shown = [...this.list.querySelectorAll("[data-index]")].map((row) => Number(row.getAttribute("data-index")));
      const place = shown.indexOf(this.view.state.class_index);
      const next = { ArrowDown: place + 1, ArrowUp: place - 1, Enter: place }[event.key];
      if (event.key === "Escape") {
        this.search.value = "";
        this.view.show({});
      }
      if (next === undefined) return;
      event.preventDefault();
      if (shown.length) this.choose(shown[clamp(next, 0, shown.length - 1)]);
    });
    this.list.addEventListener("click", (event) => {
      const row = /** @type {any} */ (event.target).closest("[data-index]");
      if (row) this.choose(+row.dataset.index);
    });
  }

  choose(k) {
    this.view.commit({ class_index: k });
    this.view.announce(`${this.view.caption(k)}. ${this.view.boxText()}`);
  }
}

/** A list item: name and number on a bar as long as `share`. */
function barRow(name, value, share, properties = {}) {
  const row = element("li", { className: "lk-row", ...properties },
    element("span", { className: "lk-name" }, name), element("span", { className: "lk-share" }, value));
  row.style.setProperty("--share", `${100 * Math.max(share, 0)}%`);
  return row;
}

/** What is said about the pixel under the pointer or the crosshair. */
export class Here {
  constructor(view) {
    const { H, W, K } = view.data;
    this.view = view;
    this.root = element("div", { className: "lk-here" });
    this.all = remember((layer, mode, x, y) => evidenceAt(layer.maps, K, layer.h, layer.w, H, W, mode, x, y));
    this.draw = remember((evidence, x, y, ...chosen) => this.fill(evidence, x, y, chosen));
  }

  /** Evidence of all classes at that pixel. */
  evidence() {
    return this.all(this.view.layer, this.view.state.upsampling, this.view.pixel[0], this.view.pixel[1]);
  }

  update() {
    if (this.view.pixel) this.draw(this.evidence(), this.view.pixel[0], this.view.pixel[1], ...this.view.chosen);
    else this.draw(null);
  }

  fill(evidence, x, y, chosen) {
    if (!evidence) {
      this.root.replaceChildren(element("p", { className: "lk-hint" }, "Point at the picture (or focus it and "
        + "press the arrow keys) to read the evidence there; a click pins the place."));
      return;
    }
    const { categories } = this.view.data;
    const order = ranking(evidence);
    const rows = order.slice(0, TOP_HERE).map((k) => {
      const share = evidence[k] / Math.abs(evidence[order[0]]) || 0;
      const className = chosen.includes(k) ? "lk-row lk-chosen" : "lk-row";
      return barRow(categories[k], number(evidence[k]), share, { className });
    });
    const places = chosen.flatMap((k) => [" for ", bold(categories[k]), ": ", bold(number(evidence[k])),
      ` (place ${order.indexOf(k) + 1} of ${order.length})`]);
    this.root.replaceChildren(
      element("p", {}, "Evidence at ", bold(`x ${x}, y ${y}`), ...places),
      element("ol", { className: "lk-top", "aria-label": "Classes with the most evidence here" }, ...rows));
  }

  /** The same in one sentence, for a screen reader. */
  sentence() {
    const { pixel, data: { categories } } = this.view;
    if (!pixel) return "";
    const evidence = this.evidence();
    const say = (k) => `${categories[k]} ${number(evidence[k])}`;
    const best = ranking(evidence).slice(0, TOP_HERE).map(say);
    const chosen = this.view.chosen.map(say);
    return `x ${pixel[0]}, y ${pixel[1]}: ${chosen.join(", ")}. Most evidence here: ${best.join(", ")}.`;
  }
}

const bold = (text) => element("b", {}, text);

/** A labelled slider for the trait `name`: shown while it moves, sent when it is let go. */
export function sliderOf(view, name, label, max, step, words) {
  const id = view.id(name);
  const input = focusable("input", { type: "range", id, min: 0, max, step });
  const value = element("output", { htmlFor: id, className: "lk-value" });
  input.addEventListener("input", () => view.show({ [name]: +input.value }));
  input.addEventListener("change", () => view.commit({ [name]: +input.value }));
  const update = () => {
    if (+input.value !== view.state[name]) input.value = view.state[name];
    value.textContent = words(view.state[name]);
    input.setAttribute("aria-valuetext", value.textContent);
  };
  return { root: element("div", { className: "lk-slider" }, labelFor(id, label), input, value), update };
}

/** A labelled list for the trait `name`; `options` gives [value, text] pairs for the present state. */
export function choiceOf(view, name, label, options) {
  const id = view.id(name);
  const input = focusable("select", { id });
  input.addEventListener("change", () => view.commit({ [name]: input.value }));
  let shown = "";
  const update = () => {
    const pairs = options();
    if (shown !== JSON.stringify(pairs)) // a list that is open must not be filled anew
      input.replaceChildren(...pairs.map(([value, text]) => element("option", { value }, text)));
    shown = JSON.stringify(pairs);
    input.value = view.state[name];
  };
  return { root: element("div", { className: "lk-choice" }, labelFor(id, label), input), update };
}

const labelFor = (id, text) => element("label", { htmlFor: id }, text);

/** Signed or positive evidence; each has colour maps of its own. */
export function signedBox(view) {
  const id = view.id("signed");
  const input = focusable("input", { type: "checkbox", id });
  input.addEventListener("change", () => {
    const signed = input.checked;
    view.commit({ signed, colour: view.data.colours.find((c) => c.signed === signed).name });
  });
  const update = () => { input.checked = view.state.signed; };
  const label = labelFor(id, "Show evidence against the class too");
  return { root: element("div", { className: "lk-check" }, input, label), update };
}

/** The button that puts the present class beside the next, and takes it away again. */
export function compareButton(view) {
  const root = focusable("button", { type: "button", className: "lk-button" });
  root.addEventListener("click", () => {
    const { class_index, compare_index } = view.state;
    const other = view.data.order.find((k) => k !== class_index) ?? class_index;
    if (compare_index === null) view.commit({ compare_index: class_index, class_index: other });
    else view.commit({ compare_index: null });
    view.announce(`Shown: ${view.chosen.map((k) => view.caption(k)).join("; beside it ")}.`);
  });
  const update = () => {
    root.textContent = view.state.compare_index === null ? "Compare with another class" : "Back to one picture";
  };
  return { root, update };
}
