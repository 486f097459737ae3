// What the bar above an annotator asks of the kernel, and the time until the answer is in place. The annotator on
// show may be replaced at any moment of that time, so it takes no strokes: they would be cut off.

import { element, focusable, listen } from "./dom.js";

const SAVING = 1500; // ms that a question waits for labels on their way to the kernel
const SOON = 300; // ms until the wait is explained
const LATE = 3000; // ms until it is said that the kernel may be gone
const PLACING = 5000; // ms for a new annotator to come into the page
const STEP = 20;

const AT_WORK = "The kernel is at work; the picture takes strokes again once it has answered.";
const NO_ANSWER = "The kernel has not answered yet. If it was restarted or has died, run this cell again.";
const GONE = "The kernel is gone. Run this cell again to go on.";

export class Asking {
  /**
   * @param {any} model the bar's; `_asked` is a number and a verb, `_answered` the number of the last answer,
   *   `_shows` the name of the annotator that is in place, `_failed` what went wrong, `_working` what takes long
   * @param {HTMLElement} el where the bar is drawn
   * @param {() => void} placed told when an answer is in place
   */
  constructor(model, el, placed = () => {}) {
    this.model = model;
    this.el = el;
    this.placed = placed;
    this.verbs = []; // still to be asked, one at a time: a front end would let the newest overtake the others
    this.number = null; // of the question that is not answered yet
    this.clocks = [];
    this.words = element("span");
    this.goOn = focusable("button", { type: "button" }, "Go on with this picture");
    this.goOn.addEventListener("click", () => this.done());
    this.note = element("p", { className: "lk-note", role: "status", hidden: true }, this.words, " ", this.goOn);
    this.stop = (event) => this.refuse(event);
    this.unlisten = listen(model, {
      "change:_answered": () => this.hear(),
      "change:_working": () => { if (this.number !== null) this.say(this.working || AT_WORK); },
    });
  }

  /** The box round bar and annotator. */
  get home() { return this.el.closest(".lk-around") ?? this.el; }
  /** What the kernel says it is doing, where that takes a while; "" otherwise. */
  get working() { return this.model.get("_working") ?? ""; }
  /** @returns {HTMLElement[]} */
  get frames() { return [...this.home.querySelectorAll(/** @type {any} */ (".lka-frame"))]; }

  ask(verb) {
    this.verbs.push(verb);
    if (this.since === undefined) this.begin();
  }

  begin() {
    this.say("");
    this.since = performance.now();
    this.box = this.home;
    this.box.classList.add("lk-busy");
    for (const frame of this.frames) frame.setAttribute("aria-busy", "true");
    this.box.addEventListener("keydown", this.stop, true);
    this.after(SOON, () => this.say(this.working || AT_WORK));
    this.after(LATE, () => this.say(this.working || NO_ANSWER, true));
    this.next();
  }

  /** Put the next question, once what was drawn is saved. */
  next() {
    const saving = this.frames.some((frame) => frame.dataset.saving) && performance.now() - this.since < SAVING;
    if (saving) return this.after(STEP, () => this.next());
    this.number = this.model.get("_asked")[0] + 1;
    this.model.set("_asked", [this.number, this.verbs.shift()]);
    try {
      this.model.save_changes();
    } catch { // its connection is closed
      this.done();
      this.say(GONE);
    }
  }

  hear() {
    if (this.number === null || this.model.get("_answered") < this.number) return;
    this.number = null;
    if (this.verbs.length) this.next();
    else this.settle(performance.now());
  }

  /** Wait until the annotator that the kernel shows, or none, is in the page. */
  settle(since) {
    const shows = this.model.get("_shows"); // undefined where there is no kernel: all is in place by now
    const there = this.frames.map((frame) => frame.dataset.name);
    const right = shows === undefined || there.join() === shows; // also where none is shown, and none is there
    if (!right && performance.now() - since < PLACING) return this.after(STEP, () => this.settle(since));
    this.done();
    this.say(this.model.get("_failed") ?? "");
    this.placed();
  }

  /** Nothing is waited for any more. */
  done() {
    this.clocks.forEach(clearTimeout);
    Object.assign(this, { clocks: [], verbs: [], number: null, since: undefined });
    this.say("");
    this.box?.classList.remove("lk-busy");
    this.box?.removeEventListener("keydown", this.stop, true);
    for (const frame of this.frames) frame.removeAttribute("aria-busy");
  }

  /** No key reaches the annotator that may be replaced; those that turn pages and leave it do. */
  refuse(event) {
    const { key, target } = event;
    if (!(/** @type {Element} */ (target)).closest(".lka-frame") || ["Tab", "PageUp", "PageDown"].includes(key)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  after(wait, act) {
    this.clocks.push(setTimeout(act, wait));
  }

  say(words, late = false) {
    this.words.textContent = words;
    this.note.hidden = !words;
    this.goOn.hidden = !late;
  }

  end() {
    this.done();
    this.unlisten();
  }
}
