// Commit to a guess before the outcome is shown: a place in a picture, a curve, or one of several answers.

import { ARROWS, bytesOf, clamp, element, focusable, listen } from "../widgets/js/dom.js";

const SVG_SPACE = "http://www.w3.org/2000/svg";
const STEP = 0.02; // of the picture or the axis, for a press of an arrow key; with Shift five times as much
const [WIDE, HIGH] = [100, 50]; // the units of a curve's drawing

/** A node of a drawing. @param {string} tag @param {Object<string, any>} properties @param {string} [text] */
function drawn(tag, properties, text = "") {
  const made = document.createElementNS(SVG_SPACE, tag);
  for (const [name, value] of Object.entries(properties)) made.setAttribute(name, String(value));
  made.textContent = text;
  return made;
}

/** Where a pointer is, 0..1 of the surface's width and height. @returns {[number, number]} */
function placeOf(event, surface) {
  const frame = surface.getBoundingClientRect();
  return [
    clamp((event.clientX - frame.left) / frame.width, 0, 1),
    clamp((event.clientY - frame.top) / frame.height, 0, 1),
  ];
}

/** Call `move` with the pointer's place from its press to its release. */
function follow(surface, move) {
  surface.addEventListener("pointerdown", (event) => {
    surface.setPointerCapture(event.pointerId);
    move(placeOf(event, surface));
  });
  surface.addEventListener("pointermove", (event) => {
    if (surface.hasPointerCapture(event.pointerId)) move(placeOf(event, surface));
  });
}

/** The surface on which a place or a curve is drawn. */
function stageWith(label, ...children) {
  const properties = { className: "lk-guess-stage", tabIndex: 0, role: "application", "aria-label": label };
  return focusable("div", properties, ...children);
}

const percent = (share) => `${Math.round(100 * share)} %`;

/** A cross for the guess and a ring for the outcome, on the picture. */
class Place {
  constructor(model, changed) {
    const address = URL.createObjectURL(new Blob([bytesOf(model.get("_photo"))], { type: "image/jpeg" }));
    this.image = element("img", { src: address, alt: model.get("_alt"), draggable: false });
    this.image.addEventListener("load", () => URL.revokeObjectURL(address));
    this.marks = element("div", { "aria-hidden": "true" });
    this.node = stageWith("The picture. Arrow keys move the mark.", this.image, this.marks);
    this.changed = changed;
    this.locked = false;
    this.guess = model.get("guess");
    follow(this.node, (place) => this.set(place));
    this.node.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key];
      if (!arrow) return;
      event.preventDefault();
      const step = event.shiftKey ? 5 * STEP : STEP;
      const from = this.guess.length ? this.guess : [0.5, 0.5];
      this.set(arrow.map((way, k) => clamp(from[k] + step * way, 0, 1)));
    });
  }

  set(place) {
    if (this.locked) return;
    this.guess = place;
    this.changed();
  }

  show(outcome) {
    const mark = (place, name) => element("span", {
      className: name, style: `left: ${100 * place[0]}%; top: ${100 * place[1]}%`,
    });
    this.marks.replaceChildren();
    if (this.guess.length) this.marks.append(mark(this.guess, "lk-guess-cross"));
    if (outcome.length) this.marks.append(mark(outcome, "lk-guess-ring"));
  }

  words() {
    if (!this.guess.length) return "Nothing chosen yet: click into the picture, or use the arrow keys.";
    const [x, y] = this.guess;
    return `Your mark is ${percent(x)} from the left and ${percent(y)} from the top.`;
  }
}

/** Points at fixed places along x, whose heights are dragged; a dashed line for the outcome. */
class Curve {
  constructor(model, changed) {
    const { names, low, high, across, up } = model.get("_axis");
    this.names = names;
    this.low = low;
    this.high = high;
    this.changed = changed;
    this.chosen = 0;
    this.locked = false;
    this.guess = model.get("guess");
    this.svg = drawn("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    const label = `${up} against ${across}. Left and right choose a point, up and down move it.`;
    this.node = stageWith(label, this.svg);
    this.node.classList.add("lk-guess-plane");
    const ticks = names.map((name, k) => element("span", { style: `left: ${this.x(k)}%` }, name));
    this.frame = element("div", { className: "lk-guess-curve" },
      element("span", { className: "lk-guess-up" }, `${up}: ${high} above, ${low} below`), this.node,
      element("div", { className: "lk-guess-ticks" }, ...ticks),
      element("span", { className: "lk-guess-across" }, across));
    follow(this.node, ([x, y]) => this.set(this.nearest(x), this.high - y * (this.high - this.low)));
    this.node.addEventListener("keydown", (event) => this.key(event));
  }

  x(k) {
    return this.names.length > 1 ? 6 + (88 * k) / (this.names.length - 1) : 50;
  }

  nearest(x) {
    const away = this.names.map((_, k) => Math.abs(this.x(k) - 100 * x));
    return away.indexOf(Math.min(...away));
  }

  heights() {
    return this.guess.length ? this.guess : this.names.map(() => (this.low + this.high) / 2);
  }

  key(event) {
    const arrow = ARROWS[event.key];
    if (!arrow) return;
    event.preventDefault();
    if (arrow[0]) {
      this.chosen = clamp(this.chosen + arrow[0], 0, this.names.length - 1);
      this.changed();
      return;
    }
    const step = (event.shiftKey ? 5 * STEP : STEP) * (this.high - this.low);
    this.set(this.chosen, this.heights()[this.chosen] - step * arrow[1]);
  }

  set(k, height) {
    if (this.locked) return;
    this.chosen = k;
    this.guess = this.heights().map((old, i) => (i === k ? clamp(height, this.low, this.high) : old));
    this.changed();
  }

  line(heights, name) {
    const y = (value) => HIGH * (1 - (value - this.low) / (this.high - this.low));
    const points = heights.map((value, k) => `${(this.x(k) * WIDE) / 100},${y(value)}`).join(" ");
    this.svg.append(drawn("polyline", { points, class: name }));
    return heights.map((value, k) => ({ x: this.x(k), y: 100 * (y(value) / HIGH) }));
  }

  show(outcome) {
    this.svg.replaceChildren();
    for (const old of this.node.querySelectorAll("span")) old.remove();
    const dots = this.line(this.heights(), this.guess.length ? "lk-guess-mine" : "lk-guess-unset");
    dots.forEach(({ x, y }, k) => this.node.append(element("span", {
      className: k === this.chosen ? "lk-guess-dot lk-guess-chosen" : "lk-guess-dot",
      style: `left: ${x}%; top: ${y}%`,
    })));
    if (outcome.length) this.line(outcome, "lk-guess-outcome");
  }

  words() {
    const value = this.heights()[this.chosen].toFixed(2);
    if (!this.guess.length) return "Nothing drawn yet: drag the points, or use the arrow keys.";
    return `At ${this.names[this.chosen]}: ${value}.`;
  }
}

let groups = 0; // the radio buttons of one question share a name, which no other question may have

/** Radio buttons. */
class Answers {
  constructor(model, changed) {
    const group = `lk-guess-${groups++}`;
    this.options = model.get("options");
    this.guess = model.get("guess");
    this.locked = false;
    this.inputs = this.options.map((_, k) => focusable("input", {
      type: "radio", name: group, checked: this.guess[0] === k,
    }));
    this.inputs.forEach((input, k) => input.addEventListener("change", () => {
      this.guess = [k];
      changed();
    }));
    const labels = this.options.map((text, k) => element("label", {}, this.inputs[k], text));
    this.node = element("div", { className: "lk-guess-options", role: "radiogroup",
      "aria-label": model.get("question") }, ...labels);
  }

  show(outcome) {
    this.inputs.forEach((input, k) => {
      input.disabled = Boolean(this.locked);
      input.parentElement.classList.toggle("lk-guess-true", outcome[0] === k);
    });
  }

  words() {
    return this.guess.length ? `You chose: ${this.options[this.guess[0]]}.` : "Nothing chosen yet.";
  }
}

function render({ model, el }) {
  const Kind = { click: Place, curve: Curve, choice: Answers }[model.get("kind")];
  const status = element("p", { className: "lk-guess-words", role: "status" });
  const button = focusable("button", { type: "button" }, "Commit");
  const same = () => String(part.guess) === String(model.get("guess"));
  const update = () => {
    const outcome = model.get("outcome");
    part.locked = outcome.length > 0;
    part.show(outcome);
    button.hidden = part.locked;
    button.disabled = part.guess.length === 0 || same();
    const kept = part.guess.length && same() ? " Committed. Now run the next cell." : "";
    status.textContent = part.locked ? model.get("words") : part.words() + kept;
  };
  const part = new Kind(model, () => update());
  button.addEventListener("click", () => {
    model.set("guess", [...part.guess]);
    model.save_changes();
    update();
  });
  const unlisten = listen(model, { "change:outcome": update, "change:words": update, "change:guess": () => {
    part.guess = model.get("guess");
    update();
  } });
  el.classList.add("lk-guess", "lk-theme");
  el.append(element("p", { className: "lk-guess-question" }, element("strong", {}, "Predict first. "),
    model.get("question")), part.frame ?? part.node, status, button);
  update();
  return unlisten;
}

export default { render };
