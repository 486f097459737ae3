// The CAM explorer in the browser: the class maps arrive once, and everything after that happens here.
//
// maps.js has the arithmetic, cam_paint.js the drawing, cam_picture.js and cam_parts.js what is on the screen.
// `state` holds what both sides know (the synced traits); where the pointer hovers stays in the browser.

import { chance, meanOf, number, percent, readData } from "./cam_data.js";
import { ClassList, Here, Legend, choiceOf, compareButton, signedBox, sliderOf } from "./cam_parts.js";
import { Picture } from "./cam_picture.js";
import { element, listen } from "./dom.js";
import { extremes } from "./maps.js";

const STATE = [
  "class_index", "compare_index", "layer", "threshold", "opacity", "upsampling", "colour", "signed", "pixel",
];

let views = 0;

class Explorer {
  constructor(model) {
    const own = ++views; // two views of one explorer may share a page
    this.id = (name) => `lk-cam-${own}-${name}`;
    this.model = model;
    this.data = readData(model);
    this.state = Object.fromEntries(STATE.map((name) => [name, model.get(name)]));
    this.hover = null; // where the mouse is; stays in the browser
    this.frame = 0;
    this.pictures = [new Picture(this), new Picture(this)];
    this.legend = new Legend(this);
    this.classes = new ClassList(this);
    this.here = new Here(this);
    this.controls = this.makeControls();
    this.root = this.layOut();
  }

  get layer() {
    return this.data.layers[this.state.layer];
  }

  get pixel() {
    return this.hover ?? this.state.pixel;
  }

  /** The classes on screen: one, or two side by side. */
  get chosen() {
    return [this.state.class_index, this.state.compare_index].filter((k) => k !== null);
  }

  /** Change what is seen while a gesture lasts; painted once a frame. */
  show(change) {
    Object.assign(this.state, change);
    this.frame ||= requestAnimationFrame(() => this.update());
  }

  /** The end of a gesture: show it, and tell Python. */
  commit(change) {
    this.show(change);
    for (const [name, value] of Object.entries(change)) this.model.set(name, value);
    this.model.save_changes();
  }

  point(pixel) {
    this.hover = pixel;
    this.show({});
  }

  announce(text) {
    this.live.textContent = text;
  }

  makeControls() {
    const { layers, colours } = this.data;
    const layer = choiceOf(this, "layer", "Map", () => Object.keys(layers).map((name) => [name, name]));
    layer.root.hidden = Object.keys(layers).length < 2;
    return [
      compareButton(this),
      sliderOf(this, "threshold", "Threshold", 0.95, 0.01, (v) => `${percent(v)} of max`),
      sliderOf(this, "opacity", "Opacity", 1, 0.05, (v) => percent(v)),
      layer,
      choiceOf(this, "upsampling", "Upsampling", () => [
        ["nearest", `none (${this.layer.h} × ${this.layer.w})`], ["bilinear", "bilinear"], ["bicubic", "bicubic"],
      ]),
      choiceOf(this, "colour", "Colours", () =>
        colours.filter((c) => c.signed === this.state.signed).map((c) => [c.name, c.label])),
      signedBox(this),
    ];
  }

  layOut() {
    this.row = element("div", { className: "lk-pictures" }, ...this.pictures.map((picture) => picture.figure));
    this.facts = element("div", { className: "lk-facts" });
    this.live = element("div", { className: "lk-hidden", role: "status", "aria-live": "polite" });
    const help = element("p", { className: "lk-hidden", id: this.id("help") },
      "Arrow keys move the crosshair by a quarter of a map cell, with Shift by one pixel. Escape removes it.");
    const left = element("div", { className: "lk-left" }, this.row, this.legend.root, this.facts);
    const right = element("div", { className: "lk-right" },
      this.classes.root, ...this.controls.map((control) => control.root));
    const whole = { className: "lk-cam", role: "group", "aria-label": "Class activation map explorer" };
    return element("div", { className: "lk-frame lk-theme" },
      element("div", whole, left, this.here.root, right, help, this.live));
  }

  /** Follow the model and the size of the screen; gives the function that ends it. */
  connect() {
    const unlisten = listen(this.model, Object.fromEntries(
      STATE.map((name) => [`change:${name}`, () => this.show({ [name]: this.model.get(name) })])));
    const resized = new ResizeObserver(() => this.show({})); // also once at the start, when there is a size
    for (const picture of this.pictures) resized.observe(picture.canvas);
    return () => {
      unlisten();
      resized.disconnect();
      cancelAnimationFrame(this.frame);
    };
  }

  /** Bring everything on screen up to date. */
  update() {
    this.frame = 0;
    const { chosen } = this;
    const range = this.colourRange();
    this.pictures.forEach((picture, i) => {
      picture.figure.hidden = i >= chosen.length;
      if (i < chosen.length) picture.update(chosen[i], range);
    });
    this.row.classList.toggle("lk-two", chosen.length === 2);
    this.facts.replaceChildren(...[this.logitText(), this.boxText()].map((text) => element("p", {}, text)));
    for (const part of [this.legend, this.classes, this.here, ...this.controls]) part.update(range);
  }

  /** Values of the colour bar's ends, common to all pictures; `peak` is the maximum of the first. */
  colourRange() {
    const found = this.chosen.map((k, i) => extremes(this.pictures[i].evidence(k)));
    const { signed, colour } = this.state;
    const high = Math.max(0, ...found.map((range) => (signed ? Math.max(range.high, -range.low) : range.high)));
    const { table } = this.data.colours.find((c) => c.name === colour);
    return { low: signed ? -high : 0, high, peak: found[0].high, table };
  }

  caption(k) {
    const { categories, probabilities } = this.data;
    return categories[k] + (probabilities ? `, probability ${chance(probabilities[k])}` : "");
  }

  /** logit = mean of the map + bias, said only where it holds: it does for CAM, not for other maps. */
  logitText() {
    const { logits, bias } = this.data;
    const k = this.state.class_index;
    if (!logits.length) return "";
    const mean = meanOf(this.layer, k);
    const holds = bias.length && Math.abs(mean + bias[k] - logits[k]) < 0.001 * Math.max(1, Math.abs(logits[k]));
    const sum = holds ? ` = mean of the map ${number(mean)} + bias ${number(bias[k])}` : "";
    return `${this.whose()}logit ${number(logits[k])}${sum}`;
  }

  boxText() {
    const region = this.pictures[0].region(this.state.class_index);
    if (!region) return `${this.whose()}no evidence for this class anywhere: no box`;
    const [x0, y0, x1, y1] = region.box;
    const share = ((x1 - x0) * (y1 - y0)) / (this.data.H * this.data.W);
    return `${this.whose()}box of the largest region: x ${x0}\u2013${x1}, y ${y0}\u2013${y1} `
      + `(${percent(share)} of the picture)`;
  }

  /** With two pictures on screen, a line says which of them it is about. */
  whose() {
    return this.chosen.length > 1 ? `${this.data.categories[this.state.class_index]}: ` : "";
  }
}

export function render({ model, el }) {
  const explorer = new Explorer(model);
  el.append(explorer.root);
  explorer.show({});
  return explorer.connect();
}

export default { render };
