// The tools: each is a small state machine that mouse, pen, finger and keyboard drive alike.
//
// press, drag and release are a pointer's down, moves (a list of points) and up, or the keyboard's; hover is a
// move without press. enter and back are keys; they say whether they were of use. draft is the label under way.

import { REACH, SLOP, bounds, distance, encode, fault, moved, stroke } from "./geometry.js";

const MOST_POINTS = 9000; // of one scribble or outline
const EXTREMES = ["leftmost", "topmost", "rightmost", "lowest"];

class Tool {
  constructor(view) {
    this.view = view;
    this.draft = null;
  }

  /** Whether a key press of Space holds the pen down until the next one. */
  get holds() { return false; }

  get busy() { return this.draft !== null; }

  /** @type {number[] | null} */
  pending = null; // a point that is held down and not placed yet

  /** @type {number[] | null} */
  pointer = null; // where it hovers over what is being drawn

  /** @type {number | null} */
  corner = null; // that is chosen

  /** @returns {string | null} what to do next, where that changes */
  get hint() { return null; }

  /** @param {number[]} _p */
  press(_p) {}

  /** @param {number[][]} _points */
  drag(_points) {}

  /** @param {number[]} _p */
  hover(_p) {}

  /** @param {number[]} _p */
  release(_p) {}

  /** Whether a chosen corner was there to be taken away. */
  dropCorner() { return false; }

  /** A point of several has been let go. @param {number[]} _p @param {number[][]} _points before it */
  place(_p, _points) {}

  enter() { return false; }
  back() { return false; }
  doubled() {}

  cancel() {
    this.draft = null;
  }

  /** What a finger has begun is not meant: the next one has come, to zoom. */
  abort() {
    this.cancel();
  }

  /** The draft becomes a label. */
  finish(label = this.draft) {
    this.cancel();
    this.view.add(label);
  }
}

class PointTool extends Tool {
  press(p) {
    this.draft = { kind: "point", points: [p] };
  }

  drag(points) {
    if (this.draft) this.draft = { kind: "point", points: [points.at(-1)] };
  }

  release() {
    if (this.draft) this.finish();
  }
}

class ScribbleTool extends Tool {
  get holds() { return true; }

  press(p) {
    this.draft = { kind: "scribble", points: [p], width: this.view.width };
  }

  drag(points) {
    const near = Math.min(0.5, this.view.unit);
    for (const p of points) {
      const line = this.draft?.points;
      if (line && line.length < MOST_POINTS && distance(p, line.at(-1)) >= near) line.push(p);
    }
  }

  release() {
    if (this.draft) this.finish();
  }
}

/** A box by one drag, or by two clicks. */
class BoxTool extends Tool {
  get holds() { return true; }

  press(p) {
    this.second = this.draft !== null;
    if (!this.second) this.from = p;
    this.hover(p, true);
  }

  drag(points) {
    this.hover(points.at(-1));
  }

  hover(p, begins = false) {
    if (!this.draft && !begins) return;
    const [x0, y0, x1, y1] = bounds([this.from, p]);
    this.draft = { kind: "box", points: [[x0, y0], [x1, y1]] };
  }

  release(p) {
    if (!this.draft) return;
    if (this.second || distance(this.from, p) > this.view.slop) this.finish();
  }
}

/** Point after point, each placed where the pointer is let go. */
class PointsTool extends Tool {
  get busy() { return this.draft !== null || this.pending !== null; }

  press(p) {
    this.pending = p;
  }

  drag(points) {
    this.pending = points.at(-1);
  }

  hover(p) {
    this.pointer = p;
  }

  release() {
    const p = this.pending;
    this.pending = null;
    if (p) this.place(p, this.draft?.points ?? []);
  }

  abort() {
    this.pending = null;
  }

  cancel() {
    super.cancel();
    this.pending = null;
  }

  back() {
    if (!this.draft) return false;
    const points = this.draft.points.slice(0, -1);
    this.draft = points.length ? { ...this.draft, points } : null;
    return true;
  }
}

class ExtremeTool extends PointsTool {
  get hint() {
    const n = this.draft?.points.length ?? 0;
    return `Click the ${EXTREMES[n]} point of the object (${n + 1} of 4).`;
  }

  place(p, points) {
    this.draft = { kind: "extreme", points: [...points, p] };
    if (points.length === 3) this.finish();
    else this.view.say(this.hint);
  }
}

class PolygonTool extends PointsTool {
  closedAt = null; // where the click fell that closed the last outline
  again = false; // whether the draft began there, right after

  place(p, points) {
    const { unit } = this.view;
    const closes = points.length >= 3 && distance(p, points[0]) <= REACH * unit;
    this.again = !points.length && this.closedAt !== null && distance(p, this.closedAt) <= REACH * unit;
    this.closedAt = closes ? p : null;
    if (closes) this.finish();
    else if (!points.length || (distance(p, points.at(-1)) > SLOP * unit && points.length < MOST_POINTS))
      this.draft = { kind: "polygon", points: [...points, p] };
  }

  enter() {
    if ((this.draft?.points.length ?? 0) < 3) return false;
    this.finish();
    return true;
  }

  /** A double click closes; where its first click has done so, its second must not begin anew. */
  doubled() {
    if (!this.enter() && this.again) this.cancel();
  }
}

/** Brush and eraser: they change the selected mask, or begin one, or rub in the one under the pointer. */
class BrushTool extends Tool {
  constructor(view, value) {
    super(view);
    this.value = value;
  }

  get holds() { return true; }

  press(p) {
    this.last = p;
    this.begin(p);
    this.drag([p]);
  }

  /** Take up the selected mask; the brush begins one where there is none, the eraser waits until it meets one. */
  begin(p) {
    const { view } = this;
    const { H, W } = view;
    const chosen = view.selected?.kind === "mask" ? view.selected : null;
    const label = chosen ?? (this.value ? null : view.under(p, "mask"));
    if (!label && !this.value) return;
    if (label) view.select(label.id);
    this.label = label;
    const mask = label ? view.maskOf(label).slice() : new Uint8Array(H * W);
    this.draft = { kind: "mask", mask, class_index: label?.class_index ?? view.classIndex, begun: false };
  }

  drag(points) {
    const { H, W, width } = this.view;
    for (const p of points) {
      if (!this.draft) this.begin(p);
      if (this.draft) this.view.touched(this.draft, stroke(this.draft.mask, H, W, this.last, p, width, this.value));
      this.last = p;
    }
  }

  release() {
    if (!this.draft) return this.view.say("There is no mask here to rub out.");
    const { H, W } = this.view;
    const { mask } = this.draft;
    this.cancel();
    const counts = encode(mask, H, W);
    this.view.masks.set(counts, mask);
    if (!this.label) this.view.add({ kind: "mask", points: [], size: [H, W], counts }, true);
    else if (counts.length > 1) this.view.change({ ...this.label, counts });
    else this.view.remove(this.label.id);
  }
}

/** Select labels, move them, and drag their handles. */
class SelectTool extends Tool {
  get holds() { return true; }

  press(p) {
    const { view } = this;
    const grip = view.gripAt(p);
    this.corner = grip && !grip.adds ? grip.corner ?? null : null;
    this.grip = grip;
    this.from = p;
    if (!grip) view.select(view.under(p)?.id ?? null);
    const label = view.selected;
    if (!label) return;
    const { W, H } = view;
    const movable = label.points.length > 0;
    if (grip) this.apply = (q) => grip.drag(q);
    else this.apply = movable ? (q) => moved(label.points, q[0] - p[0], q[1] - p[1], W, H) : null;
    this.draft = { ...label };
  }

  drag(points) {
    const p = points.at(-1);
    const started = this.started || distance(p, this.from) > SLOP * this.view.unit / 2;
    if (!this.draft || !this.apply || !started) return;
    this.started = true;
    this.corner = this.grip?.corner ?? null;
    this.draft = { ...this.draft, points: this.apply(p) };
  }

  release() {
    const label = this.draft;
    const changed = this.started;
    this.cancel(true);
    if (!changed) return;
    const wrong = fault(label);
    if (wrong) this.view.say(wrong);
    else this.view.change(label);
  }

  /** A double click takes away the corner that it is on. */
  doubled() {
    this.dropCorner();
  }

  /** Delete: the corner that was chosen last, where the outline has one to spare. */
  dropCorner() {
    const label = this.view.selected;
    if (this.corner === null || label?.kind !== "polygon" || label.points.length <= 3) return false;
    const points = label.points.toSpliced(this.corner, 1);
    this.corner = null;
    this.view.change({ ...label, points });
    return true;
  }

  cancel(keepCorner = false) {
    super.cancel();
    this.started = false;
    if (!keepCorner) this.corner = null;
  }
}

/**
 * The tools by name: the letter that takes one up, its title, what it asks of a hand, whether its cursor is a
 * circle as wide as the pen, and how it is made.
 * @type {Object<string, {key: string, title: string, hint: string, pen?: boolean, make: (view: any) => Tool}>}
 */
export const TOOLS = {
  select: {
    key: "v", title: "Select", make: (view) => new SelectTool(view),
    hint: "Click a label to select it; drag it, or one of its handles. Drag a small handle between two corners of an "
      + "outline to put a new corner there. Delete removes the chosen corner, or the label.",
  },
  point: { key: "p", title: "Point", hint: "Click on the object.", make: (view) => new PointTool(view) },
  scribble: {
    key: "s", title: "Scribble", hint: "Draw a stroke along the object.", pen: true,
    make: (view) => new ScribbleTool(view),
  },
  box: {
    key: "b", title: "Box", hint: "Drag from corner to corner, or click both corners.", make: (view) => new BoxTool(view),
  },
  extreme: { key: "e", title: "Extreme points", hint: "", make: (view) => new ExtremeTool(view) },
  polygon: {
    key: "g", title: "Outline", make: (view) => new PolygonTool(view),
    hint: "Click corner after corner. A click on the first corner, a double click or Enter closes the outline; "
      + "Backspace takes a corner back.",
  },
  brush: {
    key: "r", title: "Brush", pen: true, make: (view) => new BrushTool(view, 1),
    hint: "Paint the object's pixels. Strokes go into the selected mask; New mask begins another.",
  },
  eraser: {
    key: "x", title: "Eraser", pen: true, make: (view) => new BrushTool(view, 0),
    hint: "Rub out pixels of the selected mask, or of the one under the pointer.",
  },
  pan: { key: "h", title: "Move view", hint: "Drag to move the zoomed picture.", make: (view) => new Tool(view) },
};
