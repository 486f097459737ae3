// The box lab in the browser: sliders, lists and a box to drag; the kernel answers each change with a picture.
//
// One question is under way at a time. What changes meanwhile is asked when the answer is there, so that a
// fast hand never leaves a queue of pictures behind it.

import { ARROWS, clamp, element, focusable, listen } from "./dom.js";

const LEAST = 4; // pixels of a side below which a drag is a click that went astray
const PATIENCE = 3000; // milliseconds after which a reader hears that no answer has come
const SVG = "http://www.w3.org/2000/svg";
const NO_ANSWER = "The kernel has not answered yet; this is still the picture of an earlier state. "
  + "If the kernel was restarted or has died, run this cell again.";

/**
 * The box (x0, y0, x1, y1) between two corners, whole pixels inside the picture, or null if it is too small.
 * @param {number[]} start @param {number[]} end @param {number[]} size
 */
export function boxBetween(start, end, size) {
  const [[xa, ya], [xb, yb], [height, width]] = [start, end, size];
  const inside = (value, most) => clamp(Math.round(value), 0, most);
  const [x0, x1] = [inside(Math.min(xa, xb), width), inside(Math.max(xa, xb), width)];
  const [y0, y1] = [inside(Math.min(ya, yb), height), inside(Math.max(ya, yb), height)];
  return x1 - x0 < LEAST || y1 - y0 < LEAST ? null : [x0, y0, x1, y1];
}

/**
 * The box moved by (dx, dy), or with `grow` its right and lower side moved; it stays inside the picture.
 * @param {number[]} box @param {number[]} step @param {number[]} size
 */
export function boxMoved(box, step, size, grow = false) {
  const [[x0, y0, x1, y1], [dx, dy], [height, width]] = [box, step, size];
  if (grow) return [x0, y0, clamp(x1 + dx, x0 + LEAST, width), clamp(y1 + dy, y0 + LEAST, height)];
  const [right, down] = [clamp(dx, -x0, width - x1), clamp(dy, -y0, height - y1)];
  return [x0 + right, y0 + down, x1 + right, y1 + down];
}

/** Asks the kernel, one question at a time; the newest state wins. `late` is told when an answer is overdue. */
class Questions {
  constructor(model, late) {
    this.model = model;
    this.late = late;
    this.busy = this.waiting = false;
    this.end = listen(model, { "change:_answered": () => this.answered() });
  }

  answered() {
    clearTimeout(this.clock);
    this.busy = false;
    this.late(false);
    if (this.waiting) this.ask();
  }

  ask() {
    this.waiting = this.busy;
    if (this.busy) return;
    this.busy = true;
    this.clock = setTimeout(() => this.late(true), PATIENCE);
    this.model.set("_asked", this.model.get("_asked") + 1);
    try {
      this.model.save_changes();
    } catch { // the kernel has gone
      this.late(true);
    }
  }
}

function slider(control, value, change) {
  const { name, label, low, high, step } = control;
  const input = focusable("input", { type: "range", min: low, max: high, step, value, "aria-label": label });
  const shown = element("span", { className: "lk-value" }, String(value));
  input.addEventListener("input", () => {
    shown.textContent = input.value;
    change(name, +input.value);
  });
  const show = (fresh) => {
    input.value = fresh;
    shown.textContent = String(fresh);
  };
  return [element("div", { className: "lk-slider" }, element("span", {}, label), input, shown), show];
}

function choice(control, value, change) {
  const { name, label, options } = control;
  const listed = options.map((text) => element("option", { value: text }, text));
  const select = focusable("select", { "aria-label": label }, ...listed);
  select.value = value;
  select.addEventListener("change", () => change(name, select.value));
  const show = (fresh) => {
    select.value = fresh;
  };
  return [element("div", { className: "lk-choice" }, element("span", {}, label), select), show];
}

/**
 * The picture, and over it the box, which pointer and keyboard move.
 * @returns {[HTMLElement, (box: number[]) => void]}
 */
function stageOf(model, image, commit) {
  const box = model.get("box").length > 0;
  const surface = element("div", { className: "lk-stage" }, image);
  if (!box) return [surface, () => {}];
  const [height, width] = model.get("_size");
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  drawing.setAttribute("aria-hidden", "true");
  const outlines = ["lk-halo", "lk-outline"].map((name) => {
    const outline = document.createElementNS(SVG, "rect");
    outline.setAttribute("class", name);
    drawing.append(outline);
    return outline;
  });
  const draw = (/** @type {number[]} */ [x0, y0, x1, y1]) => {
    const sizes = { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
    for (const outline of outlines)
      for (const [name, value] of Object.entries(sizes)) outline.setAttribute(name, String(value));
  };
  surface.append(drawing);
  surface.classList.add("lk-drawable");
  surface.tabIndex = 0;
  surface.dataset.lmSuppressShortcuts = "true";
  surface.setAttribute("role", "application");
  surface.setAttribute("aria-label", "The box: arrow keys move it, with Shift they change its size");
  followPointer(surface, [height, width], draw, commit, () => model.get("box"));
  surface.addEventListener("keydown", (event) => {
    const step = ARROWS[event.key];
    if (!step) return;
    event.preventDefault();
    commit(boxMoved(model.get("box"), step, [height, width], event.shiftKey));
  });
  draw(model.get("box"));
  return [surface, draw];
}

/** A drag draws a new box; the kernel hears of it when the pointer is lifted. */
function followPointer(surface, size, draw, commit, current) {
  let start = null;
  const place = (event) => {
    const frame = surface.getBoundingClientRect();
    return [
      ((event.clientX - frame.left) / frame.width) * size[1],
      ((event.clientY - frame.top) / frame.height) * size[0],
    ];
  };
  surface.addEventListener("pointerdown", (event) => {
    surface.setPointerCapture(event.pointerId);
    start = place(event);
  });
  surface.addEventListener("pointermove", (event) => {
    if (start) draw(boxBetween(start, place(event), size) ?? current());
  });
  surface.addEventListener("pointerup", (event) => {
    const drawn = start && boxBetween(start, place(event), size);
    start = null;
    if (drawn) commit(drawn);
    else draw(current());
  });
  surface.addEventListener("pointercancel", () => {
    start = null;
    draw(current());
  });
}

/** The words, what is wrong, and the picture: grey while it is not that of the present state. */
class Answer {
  constructor(model) {
    this.model = model;
    this.address = "";
    this.image = element("img", { draggable: false });
    this.words = element("p", { className: "lk-words", role: "status" });
    this.note = element("p", { className: "lk-note", role: "alert", hidden: true });
    this.isLate = false;
  }

  late(isLate) {
    this.isLate = isLate;
    this.show();
  }

  show() {
    const trouble = this.model.get("_trouble") || (this.isLate ? NO_ANSWER : "");
    this.note.hidden = !trouble;
    if (this.note.textContent !== trouble) this.note.textContent = trouble;
    this.image.parentElement?.classList.toggle("lk-stale", trouble !== "");
  }

  paint() {
    URL.revokeObjectURL(this.address);
    this.address = URL.createObjectURL(new Blob([this.model.get("_picture")], { type: "image/png" }));
    this.image.src = this.address;
    this.image.alt = this.words.textContent = this.model.get("words");
  }

  end() {
    URL.revokeObjectURL(this.address);
  }
}

function render({ model, el }) {
  const answer = new Answer(model);
  const questions = new Questions(model, (late) => answer.late(late));
  const [surface, draw] = stageOf(model, answer.image, (box) => {
    model.set("box", box);
    questions.ask();
  });
  const change = (name, value) => {
    model.set("values", { ...model.get("values"), [name]: value });
    questions.ask();
  };
  const controls = model.get("_controls").map((control) => {
    const make = control.options ? choice : slider;
    return [control.name, ...make(control, model.get("values")[control.name], change)];
  });
  const showState = () => {
    if (model.get("box").length) draw(model.get("box"));
    for (const [name, , show] of controls) show(model.get("values")[name]);
  };
  const unlisten = listen(model, {
    "change:_picture": () => answer.paint(), "change:words": () => answer.paint(),
    "change:_trouble": () => answer.show(), "change:box": showState, "change:values": showState,
  });
  const help = model.get("box").length ? "Drag over the picture to draw a box of your own; arrow keys move it." : "";
  const side = element("div", { className: "lk-side" }, ...controls.map(([, node]) => node), answer.note,
    answer.words, element("p", { className: "lk-hint" }, help));
  el.classList.add("lk-frame", "lk-theme");
  el.append(element("div", { className: "lk-lab" }, surface, side));
  answer.paint();
  answer.show();
  return () => {
    questions.end();
    unlisten();
    clearTimeout(questions.clock);
    answer.end();
  };
}

export default { render };
