// What mouse, pen, fingers and keys do on the picture, as press, drag, hover and release of one hand.

import { ARROWS, clamp } from "./dom.js";
import { distance, hundredth } from "./geometry.js";

/**
 * Who is told; the annotator.
 * @typedef {object} Hand
 * @property {() => boolean} pans whether a drag moves the view
 * @property {() => string | null} held what to say where the keyboard's pen stays down after a press
 * @property {(p: number[], alt?: boolean) => void} press
 * @property {(points: number[][]) => void} drag
 * @property {(p: number[]) => void} hover
 * @property {(p: number[]) => void} release
 * @property {() => void} abort what was begun is not meant
 * @property {() => void} doubled
 * @property {() => boolean} enter whether Enter was of use
 * @property {() => number[][]} grips where the handles of the selected label are
 * @property {(text: string) => void} say
 */

export class Gestures {
  /**
   * @param {import("./stage.js").Stage} stage
   * @param {Hand} hand
   */
  constructor(stage, hand) {
    this.stage = stage;
    this.hand = hand;
    this.pointers = new Map(); // fingers on the picture
    this.pressed = ""; // by "pointer" or "key"
    const on = (name, listener, options) => stage.top.addEventListener(name, listener, options);
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", (event) => this.up(event, true));
    on("pointerleave", () => this.point({ hovering: false }));
    on("dblclick", () => hand.doubled());
    on("wheel", (event) => this.wheel(event), { passive: false });
    on("keydown", (event) => this.key(event));
    on("blur", () => {
      if (this.pressed === "key") hand.abort();
      this.point({ crosshair: false });
    });
  }

  /** Whether the place was chosen by keys: then not even a pixel is a slip of the hand. */
  get byKeys() {
    return this.stage.cursor.crosshair;
  }

  /** Nothing is held any more. */
  letGo() {
    this.press("");
  }

  press(by) {
    this.pressed = by;
    this.stage.cursor = { ...this.stage.cursor, down: by !== "" };
  }

  /** The cursor is somewhere else, or looks different. */
  point(change) {
    const before = this.stage.cursor;
    this.stage.cursor = { ...before, ...change };
    if ("at" in change) return before;
    this.stage.ask(["top"]);
    return before;
  }

  // ------------------------------------------------------------------------------------------- the pointer

  down(event) {
    const { hand, stage } = this;
    if (event.pointerType === "touch" && this.pen) return; // a palm
    try {
      stage.top.setPointerCapture(event.pointerId);
    } catch { /* a pointer that has gone already */ }
    stage.top.focus({ preventScroll: true });
    if (this.pressed === "key") hand.abort();
    if (event.pointerType === "pen") this.pen = true;
    if (event.pointerType === "touch") this.pointers.set(event.pointerId, event);
    this.point({ crosshair: false });
    if (this.pointers.size === 2) return this.pinch();
    if (this.pointers.size > 2) return;
    if (event.button === 1 || (event.button === 0 && hand.pans())) {
      this.grab = { event, look: { ...stage.look } };
      return event.preventDefault(); // no scrolling by the wheel's button
    }
    if (event.button !== 0) return;
    this.press("pointer");
    this.point({ at: stage.at(event) });
    hand.press(stage.cursor.at, event.altKey);
  }

  move(event) {
    const { hand, stage } = this;
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, event);
    if (this.grab || this.pinched) return this.slide(event);
    if (this.pressed === "key" || this.still(event)) return;
    const events = event.getCoalescedEvents?.() ?? [];
    const points = (events.length ? events : [event]).map((e) => stage.at(e));
    const at = points.at(-1);
    const before = this.point({ at, hovering: event.pointerType !== "touch", crosshair: false });
    if (this.pressed) hand.drag(points);
    else hand.hover(at);
    stage.follow(before);
  }

  /** Whether a move is none: the page moved below a pointer that rests. */
  still({ clientX, clientY }) {
    const resting = !this.pressed && this.last?.[0] === clientX && this.last[1] === clientY;
    this.last = [clientX, clientY];
    return resting;
  }

  up(event, cancelled = false) {
    this.pointers.delete(event.pointerId);
    if (event.pointerType === "pen") this.pen = false;
    if (this.grab || this.pinched) {
      this.grab = null;
      if (!this.pointers.size) this.pinched = null;
      return this.stage.ask(["photo"]);
    }
    if (this.pressed !== "pointer") return;
    if (cancelled) return this.hand.abort();
    this.letGo();
    this.hand.release(this.stage.at(event));
  }

  /** Two fingers move and zoom the picture; what one of them had begun is dropped. */
  pinch() {
    if (this.pressed) this.hand.abort();
    this.pinched = { look: { ...this.stage.look }, ...this.fingers() };
  }

  /** Middle of the fingers on the picture, and how far they are apart. */
  fingers() {
    const places = [...this.pointers.values()].map(({ clientX, clientY }) => [clientX, clientY]);
    const [a, b] = [places[0], places[1] ?? places[0]];
    return { middle: { clientX: (a[0] + b[0]) / 2, clientY: (a[1] + b[1]) / 2 }, apart: distance(a, b) };
  }

  slide(event) {
    const { stage } = this;
    if (this.grab) {
      const { event: start, look } = this.grab;
      return stage.setLook({ ...look, x: look.x - (event.clientX - start.clientX) / stage.scale,
        y: look.y - (event.clientY - start.clientY) / stage.scale });
    }
    if (this.pointers.size < 2) return;
    const { middle, apart } = this.fingers();
    const { look } = this.pinched;
    stage.look = { ...look };
    const held = stage.at(this.pinched.middle);
    stage.zoomTo(look.zoom * (apart / Math.max(this.pinched.apart, 1)), held, middle);
  }

  wheel(event) {
    const { stage } = this;
    const wanted = event.ctrlKey || event.metaKey || stage.top.matches(":focus");
    if (!wanted || (stage.look.zoom === 1 && event.deltaY > 0)) return; // the notebook scrolls
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    const factor = Math.exp((-event.deltaY * lines) / (event.ctrlKey ? 100 : 400));
    stage.zoomTo(stage.look.zoom * factor, stage.at(event), event);
  }

  // ------------------------------------------------------------------------------------------ the keyboard

  /** Keys on the picture; those that work everywhere in the widget are the annotator's. */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const keys = { " ": () => this.space(event.repeat), Enter: () => this.enter(event.repeat), n: () => this.nextGrip() };
    const act = keys[event.key] ?? keys[event.key.toLowerCase()];
    if (event.key in ARROWS) this.step(ARROWS[event.key], event.shiftKey ? 10 : 1);
    else if (act) act();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  step(/** @type {number[]} */ [dx, dy], stride) {
    const { stage } = this;
    const [x, y] = stage.cursor.at;
    this.goTo([clamp(Math.round(x + dx * stride), 0, stage.W), clamp(Math.round(y + dy * stride), 0, stage.H)]);
    this.hand.say(`x ${stage.cursor.at[0]}, y ${stage.cursor.at[1]}`);
  }

  /** The crosshair goes there, with what it holds; the view follows it. */
  goTo(at) {
    this.point({ at, crosshair: true });
    this.stage.keepCursorInSight();
    if (this.pressed) this.hand.drag([at]);
    else this.hand.hover(at);
    this.stage.ask(["top"]);
  }

  enter(repeat) {
    if (!repeat && !this.hand.enter()) this.space();
  }

  /** Space: a click; with tools that draw lines the pen goes down, and with the next Space up. */
  space(repeat = false) {
    if (repeat) return;
    const { hand } = this;
    const { at } = this.stage.cursor;
    this.point({ crosshair: true });
    if (this.pressed) {
      this.letGo();
      return hand.release(at);
    }
    hand.press(at);
    const words = hand.held();
    if (words === null) return hand.release(at);
    this.press("key");
    if (words) hand.say(words);
  }

  /** N: the crosshair jumps to the next handle of the selected label. */
  nextGrip() {
    const grips = this.hand.grips();
    if (!grips.length) return;
    const next = (grips.findIndex((at) => distance(at, this.stage.cursor.at) < 0.01) + 1) % grips.length;
    this.goTo(grips[next].map(hundredth));
    this.hand.say(`Handle ${next + 1} of ${grips.length}`);
  }
}
