// The annotator in the browser: a picture, tools that draw labels on it, and the list of what was drawn.
//
// geometry.js has the arithmetic, labels.js the records, tools.js the tools, stage.js what is painted,
// gestures.js what hands do; here they are put together.

import { Chips, List, Ticks, icon } from "./annotator_parts.js";
import { bytesOf, clamp, element, focusable, listen, swatch } from "./dom.js";
import { KINDS, REACH, SLOP, bounds, decode, distance, fault, handles, hit } from "./geometry.js";
import { Gestures } from "./gestures.js";
import { Labels, Stopwatch, randomName } from "./labels.js";
import { Stage } from "./stage.js";
import { TOOLS } from "./tools.js";

const KEYS = [
  ["1 … 9", "class"], ["Arrow keys, Shift", "crosshair by 1 pixel, by 10"], ["Space", "place; pen down and up"],
  ["Enter", "place; close an outline"], ["N", "to the next handle of the selected label"],
  ["Delete, Backspace", "delete corner or label; take a corner back"], ["Escape", "drop what is under way; select nothing"],
  ["Ctrl+Z, Ctrl+Shift+Z", "undo, redo"], ["+ − 0", "zoom in, out, whole picture"], ["[ ]", "thinner, thicker"],
  ["Wheel, two fingers", "zoom (after a click into the picture)"], ["Wheel button", "move the view"],
];

/** Keys that work everywhere in the widget. @type {Object<string, (annotator: any) => void>} */
const COMMANDS = {
  "ctrl+z": (annotator) => annotator.undo(), "ctrl+shift+z": (annotator) => annotator.redo(),
  "ctrl+y": (annotator) => annotator.redo(),
  delete: (annotator) => annotator.erase(), backspace: (annotator) => annotator.erase(),
  escape: (annotator) => annotator.escape(),
  "+": (annotator) => annotator.zoomBy(1.5), "=": (annotator) => annotator.zoomBy(1.5),
  "-": (annotator) => annotator.zoomBy(1 / 1.5), 0: (annotator) => annotator.zoomBy(0),
  "[": (annotator) => annotator.setWidth(Math.round(annotator.width * 0.8)),
  "]": (annotator) => annotator.setWidth(Math.round(annotator.width * 1.25 + 1)),
};

let views = 0;

export class Annotator {
  constructor(model) {
    const own = ++views; // two views of one annotator may share a page
    this.id = (name) => `lka-${own}-${name}`;
    this.model = model;
    const [H, W] = model.get("_size");
    this.H = H;
    this.W = W;
    this.classes = model.get("_classes");
    this.masks = new WeakMap();
    this.late = null; // the clock that says that saving takes long
    this.isLate = false;
    this.selectedId = null;
    this.watch = new Stopwatch();
    this.labels = new Labels(model, () => this.changed());
    this.stage = new Stage({
      H: this.H, W: this.W, hintId: this.id("hint"), scene: () => this.scene(), colour: (k) => this.colour(k),
      maskOf: (label) => this.maskOf(label), zoomed: () => this.updateZoom(),
    });
    this.gestures = new Gestures(this.stage, {
      pans: () => this.tool === "pan", held: () => this.held(), press: (p, alt) => this.press(p, alt),
      drag: (points) => this.hand.drag(points), hover: (p) => this.hand.hover(p), release: (p) => this.release(p),
      abort: () => this.abort(), doubled: () => this.doubled(), enter: () => this.enter(),
      grips: () => (this.selected ? handles(this.selected).map(({ at }) => at) : []), say: (text) => this.say(text),
    });
    this.takeTool(model.get("tool"));
    this.root = this.layOut();
    this.wearName();
  }

  /** So that who replaces an annotator can see which one is in the page. */
  wearName() { this.root.dataset.name = this.model.get("_name") ?? ""; }

  get tool() { return this.model.get("tool"); }
  get classIndex() { return this.model.get("class_index"); }
  get width() { return this.model.get("width"); }
  get unit() { return 1 / this.stage.scale; } // pixels of the picture in one CSS pixel
  get slop() { return this.gestures.byKeys ? 0 : SLOP * this.unit; } // what a hand moves without meaning it
  get selected() { return this.selectedId === null ? null : this.labels.get(this.selectedId); }

  className(k) { return this.classes[k - 1]?.[0] ?? `class ${k}`; }
  colour(k) { return this.classes[k - 1]?.[1] ?? "#999999"; }

  /** The pixels of a mask label, decoded once. */
  maskOf(label) {
    if (!this.masks.has(label.counts)) this.masks.set(label.counts, decode(label.counts, ...label.size));
    return this.masks.get(label.counts);
  }

  /** The topmost label at a point, of one kind if that is named. */
  under(p, kind = null) {
    const near = (REACH - 3) * this.unit;
    const found = this.labels.list.filter((label) => (!kind || label.kind === kind)
      && hit(label, p, near, (mask) => this.maskOf(mask)));
    const area = (label) => {
      if (label.kind === "mask") return this.maskOf(label).reduce((sum, v) => sum + v, 0);
      const [x0, y0, x1, y1] = label.kind === "point" ? [0, 0, 0, 0] : bounds(label.points);
      return (x1 - x0) * (y1 - y0);
    };
    return found.sort((a, b) => area(a) - area(b))[0] ?? null; // the smallest can be met nowhere else
  }

  /** The handle of the selected label at a point; corners go before the places between them. */
  gripAt(p) {
    if (!this.selected) return null;
    const near = handles(this.selected).filter(({ at }) => distance(at, p) <= REACH * this.unit);
    const rank = (grip) => (grip.adds ? 1e6 : 0) + distance(grip.at, p);
    return near.sort((a, b) => rank(a) - rank(b))[0] ?? null;
  }

  // ----------------------------------------------------------------------------------- what a reader does

  press(p, alt = false) {
    this.startClock(); // a picture that is larger than the window is never wholly in sight
    this.hand.press(p);
    if (alt && this.tool === "select" && this.hand.dropCorner()) this.cancel();
    this.refresh();
  }

  release(p) {
    this.hand.release(p);
    this.refresh();
  }

  cancel() {
    this.hand.cancel();
    this.gestures.letGo();
    this.refresh();
  }

  abort() {
    this.hand.abort();
    this.gestures.letGo();
    this.refresh();
  }

  /** What to say where the keyboard's pen stays down after a press; null where it does not. */
  held() {
    if (!this.hand.holds || !this.hand.busy) return null;
    return this.tool === "box" ? "" : "Down: arrow keys draw or move, Space lets go.";
  }

  enter() {
    const used = this.hand.enter();
    this.refresh();
    return used;
  }

  doubled() {
    this.hand.doubled();
    this.refresh();
  }

  touched(draft, part) {
    this.stage.touched(draft, part);
  }

  /** What the stage paints. */
  scene() {
    const { hand, selected, tool } = this;
    return {
      labels: this.labels.list, selected, draft: hand.draft, pending: hand.pending ?? null, over: hand.pointer ?? null,
      corner: hand.corner ?? null, grips: tool === "select", busy: hand.busy, pen: TOOLS[tool].pen ? this.width : 0,
      classIndex: this.classIndex,
    };
  }

  zoomBy(factor) {
    this.stage.zoomBy(factor);
    this.say(`Zoom ${this.zoomed.textContent}`);
  }

  // ------------------------------------------------------------------------------------- labels come and go

  /** A label is finished: give it name, class and time. */
  add(drawn, select = false) {
    const wrong = fault(drawn);
    if (wrong) return this.say(wrong);
    const label = { id: randomName("l"), kind: drawn.kind, class_index: this.classIndex, ...drawn,
      milliseconds: this.watch.lap() };
    this.selectedId = select ? label.id : null;
    this.labels.edit([[label.id, label]]);
    this.say(`${this.describe(label)} added. ${this.counted()}`);
  }

  /** A label is changed; the time that took is part of what it costs. */
  change(label) {
    const old = this.labels.get(label.id);
    if (!old) return this.say("That label has been deleted in another tab.");
    this.labels.edit([[label.id, { ...label, milliseconds: old.milliseconds + this.watch.lap() }]]);
    this.say(`${this.describe(label)} changed.`);
  }

  remove(id) {
    const label = this.labels.get(id);
    if (!label) return;
    const ids = this.labels.list.map((l) => l.id);
    const place = ids.indexOf(id);
    this.labels.edit([[id, null]]);
    this.select(this.tool === "select" ? ids[place + 1] ?? ids[place - 1] ?? null : null);
    this.say(`${this.describe(label)} deleted. ${this.counted()}`);
  }

  tick(k, on) {
    const id = `class-${k}`; // the same in every tab: two ticks are one label
    const label = { id, kind: "image_class", class_index: k, points: [] };
    if (on) this.labels.edit([[id, { ...label, milliseconds: this.watch.lap() }]]);
    else this.labels.edit([[id, null]]);
    this.say(`${this.className(k)} is ${on ? "in" : "not in"} the picture.`);
  }

  undo() {
    if (this.hand.busy && this.hand.back()) this.say("Last corner taken back.");
    else if (this.hand.busy) this.cancel();
    else this.say(this.labels.undo() ? `Undone. ${this.counted()}` : "Nothing to undo.");
    this.refresh();
  }

  redo() {
    if (!this.hand.busy) this.say(this.labels.redo() ? `Redone. ${this.counted()}` : "Nothing to redo.");
    this.refresh();
  }

  /** Delete, by key: what is under way, a corner, or the selected label. */
  erase() {
    if (this.hand.busy) this.hand.back();
    else if (this.tool !== "select" || !this.hand.dropCorner()) this.deleteSelected();
    this.refresh();
  }

  deleteSelected() {
    if (this.selected) this.remove(this.selectedId);
    else this.say("No label is selected.");
  }

  select(id) {
    this.selectedId = id;
    this.refresh(["labels", "top"]);
  }

  /** From the list: select a label and take the hand that can change it. */
  choose(id) {
    if (this.tool !== "select" && !this.paints(this.labels.get(id))) this.setTool("select");
    this.hand.cancel();
    this.select(id);
    if (this.selected) this.say(this.describe(this.selected));
  }

  setTool(name) {
    if (this.hand.busy) this.cancel();
    this.model.set("tool", name);
    this.model.save_changes();
    this.say(`${TOOLS[name].title}. ${this.hint()}`);
  }

  /** The class of the next label; with the select tool that of the selected label, too. */
  setClass(k) {
    if (k < 1 || k > this.classes.length) return;
    const label = this.tool === "select" ? this.selected : null;
    if (label && label.class_index !== k && label.kind !== "image_class") this.change({ ...label, class_index: k });
    else if (!label && this.selected && this.selected.class_index !== k) this.select(null); // a new mask
    this.model.set("class_index", k);
    this.model.save_changes();
    this.say(`Class ${k}, ${this.className(k)}`);
    this.refresh();
  }

  setWidth(width) {
    this.model.set("width", clamp(width, 1, this.widest));
    this.model.save_changes();
    this.say(`Width ${this.width} pixels`);
  }

  get widest() { return Math.max(8, Math.round(Math.min(this.H, this.W) / 4)); }

  describe(label) {
    return `${this.className(label.class_index)}, ${KINDS[label.kind]}`;
  }

  counted() {
    const n = this.labels.list.length;
    return n === 1 ? "1 label." : `${n} labels.`;
  }

  hint() {
    return this.hand.hint ?? TOOLS[this.tool].hint;
  }

  say(text) {
    this.live.textContent = text;
  }

  // ------------------------------------------------------------------------------------------------ the keys

  key(event) {
    const letter = event.key.toLowerCase();
    const control = event.ctrlKey || event.metaKey ? `ctrl+${event.shiftKey ? "shift+" : ""}` : "";
    const act = event.altKey ? undefined : COMMANDS[control + letter] ?? (control ? undefined : this.byLetter(letter));
    if (!act) return;
    act(this);
    event.preventDefault();
  }

  /** A digit is a class, a letter may be a tool. */
  byLetter(letter) {
    if (/^[1-9]$/.test(letter)) return () => this.setClass(+letter);
    const name = this.model.get("_tools").find((tool) => TOOLS[tool].key === letter);
    return name && (() => this.setTool(name));
  }

  escape() {
    if (this.hand.busy) this.cancel();
    else this.select(null);
  }

  // -------------------------------------------------------------------------------------------- on the screen

  takeTool(name) {
    this.hand?.cancel();
    this.gestures.letGo();
    this.hand = TOOLS[name].make(this);
    if (!["select", "pan"].includes(name) && !this.paints(this.selected)) this.selectedId = null;
  }

  /** Whether the tool in hand goes on with this label. */
  paints(label) {
    return label?.kind === "mask" && ["brush", "eraser"].includes(this.tool);
  }

  layOut() {
    this.live = element("div", { className: "lk-hidden", role: "status", "aria-live": "polite" });
    this.hintLine = element("p", { className: "lka-hint", id: this.id("hint") });
    this.clock = element("p", { className: "lka-clock", role: "timer", "aria-live": "off" }, "0.0 s");
    this.clock.hidden = !this.model.get("_timed");
    this.state = element("p", { className: "lka-soft lka-state" });
    this.note = element("p", { className: "lk-note", role: "alert", hidden: true });
    this.list = new List(this);
    this.tools = new Chips(this, "tool", "Tool", this.model.get("_tools").map((name) => (
      { value: name, label: TOOLS[name].title, key: TOOLS[name].key, mark: icon(name) })), (name) => this.setTool(name));
    this.chips = new Chips(this, "class", "Class", this.classes.map(([name, colour], i) => (
      { value: i + 1, label: name, key: i < 9 ? String(i + 1) : "", mark: swatch(colour) })), (k) => this.setClass(k));
    const drawn = this.model.get("_tools").some((name) => !["select", "pan"].includes(name));
    this.tools.root.hidden = this.chips.root.hidden = !drawn; // where nothing is drawn they do nothing
    this.ticks = this.model.get("_ticks") ? new Ticks(this) : null;
    // Whatever comes, goes or grows while a gesture lasts stands below the picture or beside it.
    const head = element("div", { className: "lka-head-side" }, this.chips.root, ...this.ticks ? [this.ticks.root] : []);
    const left = element("div", { className: "lka-left" }, this.tools.root, this.clock, this.stage.root, this.hintLine, this.bar());
    const right = element("div", { className: "lka-right" },
      this.list.root, this.edits(), this.state, this.note, this.help());
    const whole = { className: "lka-whole", role: "group", "aria-label": "Annotator" };
    const root = element("div", { className: "lka-frame lk-theme" }, element("div", whole, head, left, right, this.live));
    root.addEventListener("keydown", (event) => this.key(event));
    return root;
  }

  button(text, label, act) {
    const made = focusable("button", { type: "button", title: label, "aria-label": label }, text);
    made.addEventListener("click", () => made.getAttribute("aria-disabled") !== "true" && act());
    return made;
  }

  /** Below the picture: zoom, the width of the pen, and what ends a drawing on a screen without keys. */
  bar() {
    this.zoomed = element("span", { className: "lka-zoom" });
    this.slider = focusable("input", { type: "range", id: this.id("width"), min: 1, max: this.widest, step: 1 });
    this.slider.addEventListener("input", () => this.setWidth(+this.slider.value));
    this.thick = element("span", { className: "lka-thick" });
    this.pen = element("div", { className: "lka-pen" },
      element("label", { htmlFor: this.id("width") }, "Width"), this.slider, this.thick);
    this.close = this.button("Close outline", "Close the outline", () => this.enter());
    this.drop = this.button("Cancel", "Drop what is under way", () => this.cancel());
    this.fresh = this.button("New mask", "New mask: the next stroke begins another one", () => this.select(null));
    return element("div", { className: "lka-bar" },
      this.button("−", "Zoom out", () => this.zoomBy(1 / 1.5)), this.zoomed,
      this.button("+", "Zoom in", () => this.zoomBy(1.5)),
      this.button("Fit", "Show the whole picture", () => this.zoomBy(0)), this.pen, this.close, this.drop, this.fresh);
  }

  edits() {
    this.undoButton = this.button("Undo", "Undo", () => this.undo());
    this.redoButton = this.button("Redo", "Redo", () => this.redo());
    this.deleteButton = this.button("Delete", "Delete the selected label", () => this.deleteSelected());
    return element("div", { className: "lka-bar" }, this.undoButton, this.redoButton, this.deleteButton);
  }

  help() {
    const rows = KEYS.map(([key, what]) => element("div", {}, element("dt", {}, key), element("dd", {}, what)));
    return element("details", { className: "lka-help" }, focusable("summary", {}, "Keys"), element("dl", {}, ...rows));
  }

  /** Labels have come, gone or changed, here or elsewhere. */
  changed() {
    if (!this.root) return;
    if (this.selectedId !== null && !this.selected) this.selectedId = null;
    this.refresh(["labels", "top"]);
  }

  /** Bring everything round the picture up to date, and ask for these layers. */
  refresh(layers = ["top"]) {
    const { hand, tool } = this;
    this.stage.ask(layers);
    this.list.update();
    this.ticks?.update();
    this.tools.update(tool);
    this.chips.update(this.tool === "select" && this.selected ? this.selected.class_index : this.classIndex);
    this.hintLine.textContent = this.hint();
    this.stage.root.dataset.tool = tool;
    this.pen.hidden = !TOOLS[tool].pen;
    if (+this.slider.value !== this.width) this.slider.value = this.width;
    this.thick.textContent = `${this.width} px`;
    this.close.hidden = tool !== "polygon" || (hand.draft?.points.length ?? 0) < 3;
    this.drop.hidden = !hand.busy || !["box", "extreme", "polygon"].includes(tool);
    this.fresh.hidden = tool !== "brush" || this.selected?.kind !== "mask";
    this.able(this.undoButton, this.labels.past.length || hand.busy);
    this.able(this.redoButton, this.labels.future.length && !hand.busy);
    this.able(this.deleteButton, this.selected);
    this.updateState();
    this.updateZoom();
  }

  able(button, can) {
    button.setAttribute("aria-disabled", String(!can));
  }

  updateZoom() {
    this.zoomed.textContent = `${Math.round(100 * this.stage.look.zoom)} %`;
  }

  /** Whether everything is on disk, and why not. */
  updateState() {
    const note = this.model.get("_note");
    this.note.hidden = !note;
    if (this.note.textContent !== note) this.note.textContent = note;
    const drawn = this.labels.records.some(({ edit }) => edit > 0);
    if (this.labels.waiting.size) this.root.dataset.saving = "true";
    else delete this.root.dataset.saving;
    if (this.labels.waiting.size) {
      this.late ??= setTimeout(() => this.sayLate(), 1500);
      if (!this.isLate) this.state.textContent = "Saving …";
      return;
    }
    clearTimeout(this.late);
    this.late = null;
    this.isLate = false;
    this.state.textContent = drawn ? "All labels are saved." : "";
  }

  sayLate() {
    this.isLate = true;
    this.state.textContent = "Not saved yet. Your labels are kept in this browser until the kernel has time for them.";
  }

  /** Follow the model and the size of the screen; gives the function that ends it. */
  connect() {
    const unlisten = listen(this.model, {
      "change:_records": () => this.labels.receive(), "change:_saved": () => this.labels.receive(),
      "change:_note": () => this.updateState(), "change:class_index": () => this.refresh(),
      "change:width": () => this.refresh(), "change:_name": () => this.wearName(),
      "change:tool": () => {
        this.takeTool(this.tool);
        this.refresh(["labels", "top"]);
      },
    });
    this.open();
    return () => {
      this.gone = true;
      unlisten();
      this.stage.end();
      this.watch.end();
      this.seen?.disconnect();
      clearTimeout(this.late);
      clearTimeout(this.clockTimer);
    };
  }

  /** Decode the picture; the stopwatch starts when it has been painted. */
  async open() {
    const photo = await createImageBitmap(new Blob([bytesOf(this.model.get("_image"))]));
    if (this.gone) return;
    this.stage.photo = photo;
    this.refresh(["photo", "labels", "top"]);
    requestAnimationFrame(() => requestAnimationFrame(() => {
      this.stage.root.dataset.painted = "true";
      if (this.model.get("_timed")) this.stage.root.scrollIntoView({ block: "center" });
      this.whenWhole();
    }));
  }

  /** The stopwatch starts when the picture is wholly in sight: nobody is timed while scrolling. */
  whenWhole() {
    this.seen = new IntersectionObserver(([{ intersectionRatio }]) => {
      if (intersectionRatio < 0.98) return;
      this.seen.disconnect();
      this.startClock();
    }, { threshold: [0.98, 1] });
    this.seen.observe(this.stage.root);
  }

  startClock() {
    if (this.watch.start !== null) return;
    this.watch.restart();
    this.stage.root.dataset.timed = "true";
    if (this.model.get("_timed")) this.tickClock();
  }

  /** The running clock; it stands still at the time of the label that was drawn last, until the next begins. */
  tickClock() {
    const label = this.hand.busy ? null : this.labels.list.at(-1);
    const time = label ? label.milliseconds : performance.now() - this.watch.start;
    this.clock.textContent = `${(time / 1000).toFixed(1)} s`;
    this.clockTimer = setTimeout(() => this.tickClock(), 100);
  }
}

function render({ model, el }) {
  const annotator = new Annotator(model);
  el.append(annotator.root);
  annotator.refresh(["photo", "labels", "top"]);
  return annotator.connect();
}

export default { render };
