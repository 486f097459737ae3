// The stopwatch lab's steps, which in a notebook are Python's (widgets/stopwatch_lab.py, labs/stopwatch.py).

import { element, focusable } from "../../lecturekit/widgets/js/dom.js";
import { decode } from "../../lecturekit/widgets/js/geometry.js";
import { Shelf, annotatorModel } from "./annotator_half.js";
import { offer, readBytes } from "./files.js";
import { Model } from "./model.js";
import { measured, median } from "./stopwatch_measure.js";

const WHO = "lecturekit-site-stopwatch-who";

class StopwatchLab {
  constructor(el, told, { beside, show }) {
    this.told = told;
    this.beside = beside;
    this.show = show;
    this.tasks = told.tasks.map((task) => ({ ...task, mask: decode(task.counts, ...task.size) }));
    this.labels = new Map(); // kind-number to labels, of every step with a label
    for (const step of told.steps) {
      const { labels } = new Shelf(this.placeOf(step));
      if (labels.length) this.labels.set(step.join("-"), labels);
    }
    this.at = -1;
    this.end = () => {};
    const bar = { prompt: "", status: "", _may: [], _asked: [0, ""], _answered: 0 };
    this.bar = new Model(bar, ({ _asked }) => this.answer(_asked));
    el.classList.add("lk-around");
    this.replay = new Model({ _photo: new DataView(new ArrayBuffer(0)), _told: {} });
    this.places = { bar: element("div"), holder: element("div", { className: "lk-steps" }), replay: element("div") };
    this.saveButton = focusable("button", { type: "button", className: "lk-save" }, "Save your measures as a file");
    this.saveButton.addEventListener("click", () => this.save());
    const words = "Seconds and qualities of your labels, without your name: the file that a class puts together.";
    const below = element("div", { className: "lk-theme lk-below" }, this.saveButton, " ", element("span", {}, words));
    el.append(this.places.bar, this.places.holder, this.places.replay, below);
  }

  async begin() {
    this.tell();
    await this.show("stopwatch_lab", this.bar, this.places.bar);
    await this.show("replay", this.replay, this.places.replay);
  }

  placeOf([kind, number]) {
    return `stopwatch-${kind}-${number}`;
  }

  get step() { return this.told.steps[Math.max(this.at, 0)]; }

  get measures() {
    return this.told.steps.flatMap((step) => this.measureOf(step) ?? []);
  }

  measureOf(step) {
    return measured(step[0], this.tasks[step[1]], this.labels.get(step.join("-")) ?? []);
  }

  may() {
    if (this.at < 0) return ["next"];
    return [...(this.at < this.told.steps.length - 1 ? ["next"] : []), "again", ...(this.at > 0 ? ["back"] : [])];
  }

  async answer([number, verb]) {
    try {
      await this.do(verb);
    } finally {
      this.bar.put({ _answered: number });
    }
  }

  async do(verb) {
    if (!this.may().includes(verb)) return;
    if (verb === "again") this.dropAll();
    else if (this.at < 0) this.at = this.firstOpen();
    else this.at += verb === "next" ? 1 : -1;
    await this.showStep();
  }

  /** The first step without a label, or the last one. */
  firstOpen() {
    const open = this.told.steps.findIndex((step) => !this.labels.has(step.join("-")));
    return open < 0 ? this.told.steps.length - 1 : open;
  }

  dropAll() {
    const { records } = this.shelf;
    const edit = 1 + records.reduce((most, record) => Math.max(most, record.edit), 0);
    this.shelf.add(records.map(({ id }) => ({ id, edit, by: "again", label: null })));
    this.labels.delete(this.step.join("-"));
  }

  /** A new annotator for the step, whose stopwatch starts when its picture is there. */
  async showStep() {
    const [kind, number] = this.step;
    const task = this.tasks[number];
    this.photo = await readBytes(new URL(task.file, this.beside));
    const [tool, ...drawing] = this.told.tools[kind];
    const state = {
      ...this.told.annotator, _image: this.photo, _size: task.size, _tools: [tool, ...drawing],
      _ticks: kind === "image_class", tool: drawing.find((name) => name !== "pan") ?? tool,
      class_index: kind === "image_class" ? 1 : task.class_index,
    };
    const step = this.step;
    const { model, shelf, end } = annotatorModel(state, this.placeOf(step), (labels) => this.heard(step, labels));
    this.shelf = shelf;
    this.end();
    this.places.holder.replaceChildren();
    this.replay.put({ _told: {} });
    const unmount = await this.show("annotator", model, this.places.holder);
    this.end = () => {
      unmount?.();
      end();
    };
    this.tell();
  }

  heard(step, labels) {
    const name = step.join("-");
    this.labels.delete(name);
    if (labels.length) this.labels.set(name, labels);
    this.tell();
    if (name === this.step.join("-")) this.onceMore(step, labels);
  }

  /** Show the last label once more, beside the truth; nothing where none is to be seen. */
  onceMore(step, labels) {
    const drawn = labels.filter((label) => label.points.length);
    const m = this.measureOf(step);
    if (!drawn.length || !m) return this.replay.put({ _told: {} });
    const task = this.tasks[step[1]];
    const words = `${m.seconds.toFixed(1)} s; as ${this.told.kinds[m.kind]} ${m.fit.toFixed(2)}, `
      + `as pixels (IoU) ${m.iou.toFixed(2)}`;
    this.replay.put({
      _photo: this.photo, _told: { label: drawn.at(-1), truth: task.truth, colour: task.colour, words },
    });
  }

  tell() {
    this.bar.put({ prompt: this.prompt(), status: this.status(), _may: this.may() });
    this.saveButton.disabled = !this.measures.length;
  }

  prompt() {
    if (this.at < 0) return "The stopwatch runs while a picture is on show. Press Start when you are ready.";
    const [kind, number] = this.step;
    return `${this.at + 1} of ${this.told.steps.length} · ${this.told.kinds[kind]}: ${this.tasks[number].prompts[kind]}`;
  }

  status() {
    const found = this.measures;
    const parts = Object.entries(this.told.kinds).flatMap(([kind, name]) => {
      const some = found.filter((m) => m.kind === kind);
      if (!some.length) return [];
      const [seconds, iou] = ["seconds", "iou"].map((what) => median(some.map((m) => m[what])));
      return [`${name} ${seconds.toFixed(1)} s, IoU ${iou.toFixed(2)} (${some.length})`];
    });
    const enough = this.at >= this.told.first_round - 1 ? " A first round is complete; stop here or go on." : "";
    return (parts.length ? `Your medians so far: ${parts.join("; ")}.` : "No label yet.") + enough;
  }

  /** The file that `lecturekit.labs.stopwatch.read_record` reads. */
  record() {
    const measures = this.measures.map((m) => ({
      ...m, seconds: Math.max(0.1, Math.round(m.seconds * 10) / 10), iou: round3(m.iou), fit: round3(m.fit),
    }));
    return { format: "lecturekit stopwatch", version: 1, who: this.who(), simulated: false, measures };
  }

  /** A random name, the same at the next export. */
  who() {
    const bytes = crypto.getRandomValues(new Uint8Array(8));
    const fresh = Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
    try {
      const name = localStorage.getItem(WHO) ?? fresh;
      localStorage.setItem(WHO, name);
      return name;
    } catch {
      return fresh;
    }
  }

  save() {
    const record = this.record();
    offer(`stopwatch-${record.who}.json`, record);
  }
}

const round3 = (value) => Math.round(value * 1000) / 1000;

export async function stopwatchHalf(el, told, place) {
  await new StopwatchLab(el, told, place).begin();
}
