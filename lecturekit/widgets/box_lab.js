// The box lab in the browser: sliders, lists and a box to drag; the kernel answers each change with a picture.
//
// One question is under way at a time. What changes meanwhile is asked when the answer is there, so that a
// fast hand never leaves a queue of pictures behind it.

const LEAST = 4; // pixels of a side below which a drag is a click that went astray
const SVG = "http://www.w3.org/2000/svg";

/** The box (x0, y0, x1, y1) between two corners, whole pixels inside the picture, or null if it is too small. */
export function boxBetween([xa, ya], [xb, yb], [height, width]) {
  const inside = (value, most) => Math.min(Math.max(Math.round(value), 0), most);
  const [x0, x1] = [inside(Math.min(xa, xb), width), inside(Math.max(xa, xb), width)];
  const [y0, y1] = [inside(Math.min(ya, yb), height), inside(Math.max(ya, yb), height)];
  return x1 - x0 < LEAST || y1 - y0 < LEAST ? null : [x0, y0, x1, y1];
}

/** The box moved by (dx, dy), or with `grow` its right and lower side moved; it stays inside the picture. */
export function boxMoved([x0, y0, x1, y1], [dx, dy], [height, width], grow = false) {
  const within = (value, low, high) => Math.min(Math.max(value, low), high);
  if (grow) return [x0, y0, within(x1 + dx, x0 + LEAST, width), within(y1 + dy, y0 + LEAST, height)];
  const [right, down] = [within(dx, -x0, width - x1), within(dy, -y0, height - y1)];
  return [x0 + right, y0 + down, x1 + right, y1 + down];
}

function element(tag, properties = {}, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Without this, JupyterLab takes letters typed on a focused control as commands and edits the notebook. */
function focusable(node) {
  node.dataset.lmSuppressShortcuts = "true";
  return node;
}

/** Asks the kernel, one question at a time; the newest state wins. */
class Questions {
  constructor(model) {
    this.model = model;
    this.busy = this.waiting = false;
    this.onAnswer = () => {
      this.busy = false;
      if (this.waiting) this.ask();
    };
    model.on("change:_answered", this.onAnswer);
  }

  ask() {
    this.waiting = this.busy;
    if (this.busy) return;
    this.busy = true;
    this.model.set("_asked", this.model.get("_asked") + 1);
    this.model.save_changes();
  }

  end() {
    this.model.off("change:_answered", this.onAnswer);
  }
}

function slider(control, value, change) {
  const { name, label, low, high, step } = control;
  const input = focusable(element("input", { type: "range", min: low, max: high, step, value }));
  const shown = element("span", { className: "lk-value", textContent: String(value) });
  input.setAttribute("aria-label", label);
  input.addEventListener("input", () => {
    shown.textContent = input.value;
    change(name, +input.value);
  });
  const show = (fresh) => {
    input.value = fresh;
    shown.textContent = String(fresh);
  };
  return [element("div", { className: "lk-slider" }, [element("span", {}, [label]), input, shown]), show];
}

function choice(control, value, change) {
  const { name, label, options } = control;
  const select = focusable(element("select", {}, options.map((text) => element("option", { value: text }, [text]))));
  select.setAttribute("aria-label", label);
  select.value = value;
  select.addEventListener("change", () => change(name, select.value));
  const show = (fresh) => {
    select.value = fresh;
  };
  return [element("div", { className: "lk-choice" }, [element("span", {}, [label]), select]), show];
}

/** The picture, and over it the box, which pointer and keyboard move. */
function stage(model, image, commit) {
  const surface = element("div", { className: "lk-stage" }, [image]);
  if (!model.get("box").length) return [surface, () => {}];
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
  const draw = ([x0, y0, x1, y1]) => {
    const sizes = { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
    for (const outline of outlines)
      for (const [name, value] of Object.entries(sizes)) outline.setAttribute(name, value);
  };
  surface.append(drawing);
  surface.classList.add("lk-drawable");
  surface.tabIndex = 0;
  focusable(surface);
  surface.setAttribute("role", "application");
  surface.setAttribute("aria-label", "The box: arrow keys move it, with Shift they change its size");
  followPointer(surface, [height, width], draw, commit, () => model.get("box"));
  surface.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
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

function render({ model, el }) {
  const questions = new Questions(model);
  const image = element("img", { draggable: false });
  const words = element("p", { className: "lk-words" });
  words.setAttribute("role", "status");
  const [surface, draw] = stage(model, image, (box) => {
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
  let address = "";
  const showPicture = () => {
    URL.revokeObjectURL(address);
    address = URL.createObjectURL(new Blob([model.get("_picture")], { type: "image/png" }));
    image.src = address;
    image.alt = words.textContent = model.get("words");
  };
  const showState = () => {
    if (model.get("box").length) draw(model.get("box"));
    for (const [name, , show] of controls) show(model.get("values")[name]);
  };
  const wiring = { "change:_picture": showPicture, "change:words": showPicture, "change:box": showState,
    "change:values": showState };
  for (const [event, listener] of Object.entries(wiring)) model.on(event, listener);
  showPicture();
  const help = model.get("box").length ? "Drag over the picture to draw a box of your own; arrow keys move it." : "";
  const side = element("div", { className: "lk-side" }, [
    ...controls.map(([, node]) => node),
    words,
    element("p", { className: "lk-hint" }, [help]),
  ]);
  el.classList.add("lk-frame");
  el.append(element("div", { className: "lk-lab" }, [surface, side]));
  return () => {
    questions.end();
    for (const [event, listener] of Object.entries(wiring)) model.off(event, listener);
    URL.revokeObjectURL(address);
  };
}

export default { render };
