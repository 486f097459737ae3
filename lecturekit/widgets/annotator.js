// The annotator in the browser: a picture, tools that draw labels on it, and the list of what was drawn.
//
// First arithmetic on points and masks, as pure exported functions; then the records, which tell labels of
// several tabs apart and never lose one; then the tools, each a small state machine that mouse, pen, finger
// and keyboard drive alike; then the drawing; then the parts of the screen.
//
// Points are [x, y] in pixels of the picture. A mask is a Uint8Array of zeros and ones, row by row.

const REACH = 9; // CSS pixels within which a handle or a line is meant
const SLOP = 4; // CSS pixels that a hand moves without meaning it
const MOST_POINTS = 9000; // of one scribble or outline
const DARK = "rgba(0, 0, 0, 0.7)";
const TOOLS = {
  select: ["v", "Select", "Click a label to select it; drag it, or one of its handles. Drag a small handle between "
    + "two corners of an outline to put a new corner there. Delete removes the chosen corner, or the label."],
  point: ["p", "Point", "Click on the object."],
  scribble: ["s", "Scribble", "Draw a stroke along the object."],
  box: ["b", "Box", "Drag from corner to corner, or click both corners."],
  extreme: ["e", "Extreme points", ""],
  polygon: ["g", "Outline", "Click corner after corner. A click on the first corner, a double click or Enter "
    + "closes the outline; Backspace takes a corner back."],
  brush: ["r", "Brush", "Paint the object's pixels. Strokes go into the selected mask; New mask begins another."],
  eraser: ["x", "Eraser", "Rub out pixels of the selected mask, or of the one under the pointer."],
  pan: ["h", "Move view", "Drag to move the zoomed picture."],
};
const KINDS = {
  image_class: "image class", point: "point", scribble: "scribble", box: "box", extreme: "box, extreme points",
  polygon: "outline", mask: "mask",
};
const EXTREMES = ["leftmost", "topmost", "rightmost", "lowest"];

// ---------------------------------------------------------------------------------------------- arithmetic

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const hundredth = (value) => Math.round(value * 100) / 100;
const distance = ([x, y], [u, v]) => Math.hypot(x - u, y - v);

/** How far a point is from the line between two others. */
export function distanceToLine(p, a, b) {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const square = dx * dx + dy * dy;
  const share = square ? clamp(((p[0] - a[0]) * dx + (p[1] - a[1]) * dy) / square, 0, 1) : 0;
  return distance(p, [a[0] + share * dx, a[1] + share * dy]);
}

/** Whether a point is inside an outline, by the even-odd rule. */
export function inside([x, y], points) {
  let odd = false;
  points.forEach(([x1, y1], i) => {
    const [x0, y0] = points.at(i - 1);
    if (y0 > y !== y1 > y && x < x0 + ((y - y0) * (x1 - x0)) / (y1 - y0)) odd = !odd;
  });
  return odd;
}

/** [x0, y0, x1, y1] round points. */
export function bounds(points) {
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

const cornersOf = ([x0, y0, x1, y1]) => [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];

/** Points moved together, as far as all of them stay in the picture. */
export function moved(points, dx, dy, W, H) {
  const [x0, y0, x1, y1] = bounds(points);
  const [x, y] = [clamp(dx, -x0, W - x1), clamp(dy, -y0, H - y1)];
  return points.map((p) => [hundredth(p[0] + x), hundredth(p[1] + y)]);
}

/** Lengths of the runs down the columns, zeros first: uncompressed COCO RLE. */
export function encode(mask, H, W) {
  const counts = [];
  let value = 0;
  let run = 0;
  for (let x = 0; x < W; x++)
    for (let i = x; i < H * W; i += W) {
      if (mask[i] !== value) {
        counts.push(run);
        value = mask[i];
        run = 0;
      }
      run++;
    }
  counts.push(run);
  return counts;
}

export function decode(counts, H, W) {
  const mask = new Uint8Array(H * W);
  let place = 0;
  counts.forEach((count, i) => {
    if (i % 2) for (let n = place; n < place + count; n++) mask[(n % H) * W + Math.floor(n / H)] = 1;
    place += count;
  });
  return mask;
}

/** Set the pixels whose centres are at most half of `width` from the line between two points, and those that
 *  the points lie in. Gives the box [x0, y0, x1, y1] of pixels that may have changed. */
export function stroke(mask, H, W, a, b, width, value) {
  const radius = width / 2;
  const x0 = clamp(Math.floor(Math.min(a[0], b[0]) - radius), 0, W - 1);
  const x1 = clamp(Math.ceil(Math.max(a[0], b[0]) + radius), x0 + 1, W);
  const y0 = clamp(Math.floor(Math.min(a[1], b[1]) - radius), 0, H - 1);
  const y1 = clamp(Math.ceil(Math.max(a[1], b[1]) + radius), y0 + 1, H);
  for (let y = y0; y < y1; y++)
    for (let x = x0; x < x1; x++)
      if (distanceToLine([x + 0.5, y + 0.5], a, b) <= radius) mask[y * W + x] = value;
  for (const [x, y] of [a, b]) mask[Math.min(Math.floor(y), H - 1) * W + Math.min(Math.floor(x), W - 1)] = value;
  return [x0, y0, x1, y1];
}

/** Handles of a label: where they are, and its points when one is dragged to p; `adds` makes a new corner. */
export function handles({ kind, points }) {
  const put = (i, p) => points.map((old, k) => (k === i ? p : old));
  if (kind === "box") return boxHandles(points.flat());
  if (kind === "extreme" || kind === "point") return points.map((at, i) => ({ at, drag: (p) => put(i, p) }));
  if (kind !== "polygon") return [];
  const corners = points.map((at, i) => ({ at, corner: i, drag: (p) => put(i, p) }));
  const between = points.map((p, i) => ({
    at: p.map((v, axis) => (v + points[(i + 1) % points.length][axis]) / 2), adds: true, corner: i + 1,
    drag: (q) => points.toSpliced(i + 1, 0, q),
  }));
  return [...corners, ...between];
}

/** Corners and sides of a box; a corner that is dragged past the other turns the box over. */
function boxHandles([x0, y0, x1, y1]) {
  const tidy = ([a, b, c, d]) => [[Math.min(a, c), Math.min(b, d)], [Math.max(a, c), Math.max(b, d)]];
  const [xm, ym] = [(x0 + x1) / 2, (y0 + y1) / 2];
  return [
    { at: [x0, y0], drag: ([x, y]) => tidy([x, y, x1, y1]) }, { at: [x1, y0], drag: ([x, y]) => tidy([x0, y, x, y1]) },
    { at: [x1, y1], drag: ([x, y]) => tidy([x0, y0, x, y]) }, { at: [x0, y1], drag: ([x, y]) => tidy([x, y0, x1, y]) },
    { at: [xm, y0], adds: true, drag: ([, y]) => tidy([x0, y, x1, y1]) },
    { at: [x1, ym], adds: true, drag: ([x]) => tidy([x0, y0, x, y1]) },
    { at: [xm, y1], adds: true, drag: ([, y]) => tidy([x0, y0, x1, y]) },
    { at: [x0, ym], adds: true, drag: ([x]) => tidy([x, y0, x1, y1]) },
  ];
}

/** Whether a label is meant by a click at p, `near` pixels of the picture around it. */
export function hit(label, p, near, maskOf) {
  const { kind, points } = label;
  const lines = (list) => list.some((q, i) => i && distanceToLine(p, list[i - 1], q) <= near);
  if (kind === "point") return distance(p, points[0]) <= near;
  if (kind === "scribble") {
    const reach = Math.max(near, label.width / 2);
    return distance(p, points[0]) <= reach || points.some((q, i) => i && distanceToLine(p, points[i - 1], q) <= reach);
  }
  if (kind === "mask") {
    const [H, W] = label.size;
    return maskOf(label)[Math.min(Math.floor(p[1]), H - 1) * W + Math.min(Math.floor(p[0]), W - 1)] === 1;
  }
  if (kind === "image_class") return false;
  const outline = kind === "polygon" ? points : cornersOf(bounds(points));
  return inside(p, outline) || lines([...outline, outline[0]]);
}

/** What is wrong with a label that was just drawn, or "". */
export function fault({ kind, points }) {
  if (kind === "polygon" && points.length < 3) return "An outline has at least three corners.";
  if (kind !== "box" && kind !== "extreme" && kind !== "polygon") return "";
  const [x0, y0, x1, y1] = bounds(points);
  return x1 - x0 < 1 || y1 - y0 < 1 ? "Too small: less than a pixel wide or high." : "";
}

// ------------------------------------------------------------------------------------------------- records

/** Of two records of one label, whether the first counts (as _label_file.py says it). */
const outranks = (a, b) => (a.edit !== b.edit ? a.edit > b.edit : a.by > b.by);

/** Of every label the record that counts, in the order in which the labels first appear. */
export function merge(...lists) {
  const newest = new Map();
  for (const record of lists.flat()) {
    const known = newest.get(record.id);
    if (!known || outranks(record, known)) newest.set(record.id, record);
  }
  return [...newest.values()];
}

const randomName = (first) =>
  first + Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, "0")).join("");

/** The labels of this view: what the kernel and other tabs know of them, what is not saved yet, and history. */
class Labels {
  constructor(model, changed) {
    this.model = model;
    this.changed = changed;
    this.by = randomName("v");
    this.place = `lecturekit-annotator-${model.get("_place")}-`;
    const left = this.adopt();
    this.waiting = new Map(left.map((record) => [record.id, record]));
    this.records = merge(model.get("_records"), left);
    this.past = [];
    this.future = [];
    this.settle();
    if (this.waiting.size) this.send();
  }

  get list() {
    return this.records.map(({ label }) => label).filter(Boolean);
  }

  get(id) {
    return this.records.find((record) => record.id === id)?.label ?? null;
  }

  /** Make edits [id, label or null], which Undo takes back together. */
  edit(pairs) {
    this.past.push(pairs.map(([id, label]) => [id, this.get(id), label]));
    this.future = [];
    this.apply(pairs);
  }

  undo() {
    const step = this.past.pop();
    if (!step) return false;
    this.future.push(step);
    this.apply(step.map(([id, before]) => [id, before]));
    return true;
  }

  redo() {
    const step = this.future.pop();
    if (!step) return false;
    this.past.push(step);
    this.apply(step.map(([id, , after]) => [id, after]));
    return true;
  }

  apply(pairs) {
    const edit = 1 + this.records.reduce((most, record) => Math.max(most, record.edit), 0);
    const edits = pairs.map(([id, label]) => ({ id, edit, by: this.by, label }));
    for (const record of edits) this.waiting.set(record.id, record);
    this.records = merge(this.records, edits);
    this.keepWaiting();
    this.send();
    this.changed();
  }

  send() {
    this.model.set("_records", [...this.records]);
    try {
      this.model.save_changes();
    } catch { /* the kernel has gone; what waits is sent by the next view */ }
  }

  /** The kernel has something: other tabs' labels, or the news that ours are on disk. */
  receive() {
    this.records = merge(this.records, this.model.get("_records"));
    this.settle();
    this.changed();
  }

  /** Wait no longer for what the kernel has on disk. */
  settle() {
    const saved = this.model.get("_saved");
    for (const [id, record] of this.waiting)
      if (id in saved && !outranks(record, { edit: saved[id][0], by: saved[id][1] })) this.waiting.delete(id);
    this.keepWaiting();
  }

  /** What is not on disk yet outlives a reload of the page in the browser's own storage, where it has one. */
  keepWaiting() {
    try {
      if (this.waiting.size) localStorage.setItem(this.place + this.by, JSON.stringify([...this.waiting.values()]));
      else localStorage.removeItem(this.place + this.by);
    } catch { /* private windows and some front ends have none, or no room */ }
  }

  /** Take over what earlier views of these labels could not bring to disk. */
  adopt() {
    try {
      const names = Object.keys(localStorage).filter((name) => name.startsWith(this.place));
      const found = merge(...names.map((name) => JSON.parse(localStorage.getItem(name))));
      for (const name of names) localStorage.removeItem(name);
      return found;
    } catch {
      return [];
    }
  }
}

/** Milliseconds of looking and drawing; time in which the page cannot be seen does not count. */
class Stopwatch {
  constructor() {
    this.start = null;
    this.hiddenAt = null;
    this.follow = () => {
      const now = performance.now();
      if (document.hidden) this.hiddenAt ??= now;
      else if (this.hiddenAt !== null) {
        if (this.start !== null) this.start += now - this.hiddenAt;
        this.hiddenAt = null;
      }
    };
    document.addEventListener("visibilitychange", this.follow);
    if (document.hidden) this.hiddenAt = performance.now();
  }

  restart() {
    this.start = performance.now();
    if (this.hiddenAt !== null) this.hiddenAt = this.start;
  }

  /** Milliseconds since the last lap (or the start), and begin the next. */
  lap() {
    this.follow();
    const milliseconds = this.start === null ? 0 : Math.max(0, Math.round(performance.now() - this.start));
    this.restart();
    return milliseconds;
  }

  end() {
    document.removeEventListener("visibilitychange", this.follow);
  }
}

// --------------------------------------------------------------------------------------------------- tools
// press, drag and release are a pointer's down, moves (a list of points) and up, or the keyboard's; hover is a
// move without press. enter and back are keys; they say whether they were of use. draft is the label under way.

class Tool {
  constructor(view) {
    this.view = view;
    this.draft = null;
  }

  /** Whether a key press of Space holds the pen down until the next one. */
  get holds() { return false; }

  get busy() { return this.draft !== null; }

  press() {}
  drag() {}
  hover() {}
  release() {}
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
    const slop = this.view.stage.keyboard ? 0 : SLOP * this.view.unit;
    if (this.second || distance(this.from, p) > slop) this.finish();
  }
}

/** Point after point, each placed where the pointer is let go. */
class PointsTool extends Tool {
  get busy() { return this.draft !== null || this.pending !== null; }

  pending = null;

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
      if (this.draft) this.view.touched(stroke(this.draft.mask, H, W, this.last, p, width, this.value));
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

const TOOL_CLASSES = {
  select: (view) => new SelectTool(view), point: (view) => new PointTool(view),
  scribble: (view) => new ScribbleTool(view), box: (view) => new BoxTool(view),
  extreme: (view) => new ExtremeTool(view), polygon: (view) => new PolygonTool(view),
  brush: (view) => new BrushTool(view, 1), eraser: (view) => new BrushTool(view, 0), pan: (view) => new Tool(view),
};

// ------------------------------------------------------------------------------------------------- drawing
// All lines are drawn in CSS pixels: `at` brings a point of the picture there.

function line(context, at, points, closed) {
  context.beginPath();
  points.forEach((p, i) => (i ? context.lineTo(...at(p)) : context.moveTo(...at(p))));
  if (points.length === 1) context.lineTo(...at(points[0])); // a dot, with round ends
  if (closed) context.closePath();
}

/** A line on a dark halo, so that it is seen on any picture. */
function inkTwice(context, colour, width = 2) {
  for (const [ink, thick] of [[DARK, width + 2], [colour, width]]) {
    context.strokeStyle = ink;
    context.lineWidth = thick;
    context.stroke();
  }
}

function dot(context, [x, y], radius, fill, rim = DARK) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = rim;
  context.fill();
  context.beginPath();
  context.arc(x, y, radius - 1.5, 0, 2 * Math.PI);
  context.fillStyle = fill;
  context.fill();
}

const alpha = (colour, share) => colour + Math.round(255 * share).toString(16).padStart(2, "0");

/** One label; `open` while it is being drawn. A mask is painted elsewhere. */
function drawLabel(context, at, scale, { kind, points, width }, colour, open = false) {
  context.lineJoin = context.lineCap = "round";
  if (kind === "point") {
    dot(context, at(points[0]), 7, "#fff");
    dot(context, at(points[0]), 5.5, colour, colour);
  } else if (kind === "scribble") drawScribble(context, at, points, width * scale, colour);
  else if (kind === "extreme" && points.length < 4) points.forEach((p) => dot(context, at(p), 5, colour));
  else if (kind === "box" || kind === "extreme" || kind === "polygon") {
    line(context, at, kind === "polygon" ? points : cornersOf(bounds(points)), !open || kind !== "polygon");
    context.fillStyle = alpha(colour, 0.15);
    if (!open) context.fill();
    inkTwice(context, colour);
    if (kind === "extreme") points.forEach((p) => dot(context, at(p), 4.5, colour));
  }
}

function drawScribble(context, at, points, thick, colour) {
  line(context, at, points);
  context.strokeStyle = alpha(colour, 0.65);
  context.lineWidth = Math.max(thick, 1);
  context.stroke();
  line(context, at, points);
  inkTwice(context, colour, 1);
}

/** The number of the class at the corner of a label: colours alone are not for everybody. */
function drawTag(context, [x, y], text, colour) {
  context.font = "bold 11px system-ui, sans-serif";
  const width = context.measureText(text).width + 8;
  const [left, top] = x < -1 || y < -1 ? [x - 1, y - 15] : [Math.max(x - 1, 0), Math.max(y - 15, 0)];
  context.fillStyle = colour;
  context.fillRect(left, top, width, 14);
  context.fillStyle = light(colour) ? "#000" : "#fff";
  context.textBaseline = "middle";
  context.fillText(text, left + 4, top + 7.5);
}

/** Whether black can be read better than white on a colour (#rrggbb), by their contrast in WCAG. */
function light(colour) {
  const [r, g, b] = [1, 3, 5].map((i) => (parseInt(colour.slice(i, i + 2), 16) / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.18;
}

/** A canvas of H x W pixels in which the given masks have their colours. */
function tintMasks(canvas, masks, H, W, part = [0, 0, W, H]) {
  const [x0, y0, x1, y1] = part;
  const data = new ImageData(x1 - x0, y1 - y0);
  const words = new Uint32Array(data.data.buffer);
  for (const { mask, colour, share } of masks) {
    const [r, g, b] = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    const word = new Uint32Array(new Uint8Array([r, g, b, Math.round(255 * share)]).buffer)[0];
    for (let y = y0, to = 0; y < y1; y++)
      for (let x = x0; x < x1; x++, to++) if (mask[y * W + x]) words[to] = word;
  }
  canvas.getContext("2d").putImageData(data, x0, y0);
}

function makeCanvas(H, W) {
  return Object.assign(document.createElement("canvas"), { width: W, height: H });
}

// ---------------------------------------------------------------------------------------- elements and icons

/** An element with properties (`aria-…` and `data-…` as attributes) and children. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "style") made.style.cssText = value; // an attribute would be refused where styles are guarded
    else if (name in made && !name.includes("-")) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** An element that takes the focus. JupyterLab looks for this mark on the focused element itself, and without
 *  it reads `b` as "insert a cell" and `m` as "turn this cell into Markdown". */
function focusable(tag, properties, ...children) {
  const made = element(tag, properties, ...children);
  made.dataset.lmSuppressShortcuts = "true";
  return made;
}

const ICONS = {
  select: "M4 2l9 6-4 1 2 4-2 1-2-4-3 3z", point: "M8 1v4M8 11v4M1 8h4M11 8h4M8 7.5a.5.5 0 100 1 .5.5 0 100-1",
  scribble: "M2 11c2-8 4-8 5-3s3 5 3 0 2-5 4-2", box: "M2.5 3.5h11v9h-11z",
  extreme: "M8 2.5v.1M13.5 7v.1M8 13.5v.1M2.5 9v.1M5 5h6v6H5z", polygon: "M8 2l6 5-3 7H4L2 6z",
  brush: "M14 2L7 9M7 9c-3-1-3 3-5 4 3 1 7 0 5-4z", eraser: "M2 11l6-7 5 4-5 6H5zM6 14h8",
  pan: "M8 1v14M1 8h14M8 1L6 3M8 1l2 2M8 15l-2-2M8 15l2-2M1 8l2-2M1 8l2 2M15 8l-2-2M15 8l-2 2",
};

function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", ICONS[name]);
  for (const [key, value] of Object.entries({ viewBox: "0 0 16 16", "aria-hidden": "true" })) svg.setAttribute(key, value);
  svg.append(path);
  return svg;
}

/** Keep the last result of a function for as long as its arguments stay the same. */
function remember(compute) {
  let known;
  let result;
  return (...inputs) => {
    if (known?.length !== inputs.length || inputs.some((input, i) => input !== known[i])) {
      result = compute(...inputs);
      known = inputs;
    }
    return result;
  };
}

/** Bytes of a trait; front ends hand over a DataView or an ArrayBuffer. */
const bytesOf = (value) =>
  ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : new Uint8Array(value);

// ------------------------------------------------------------------------------------- parts of the screen

/** The picture: three canvases on each other (photo, finished labels, what is under the hand), and its events. */
class Stage {
  constructor(view) {
    const { H, W } = view;
    this.view = view;
    this.look = { x: 0, y: 0, zoom: 1 }; // upper left corner in sight, in pixels of the picture
    this.photo = null;
    this.due = {};
    this.frame = 0;
    this.layers = ["photo", "labels"].map((name) => element("canvas", { className: `lka-layer lka-${name}`, "aria-hidden": "true" }));
    this.top = focusable("canvas", {
      className: "lka-layer lka-top", tabIndex: 0, role: "application", "aria-roledescription": "drawing area",
      "aria-label": `Picture of ${W} × ${H} pixels`, "aria-describedby": view.id("hint"),
    });
    this.root = element("div", { className: "lka-stage", style: `aspect-ratio: ${W} / ${H}; --ratio: ${W / H}` },
      ...this.layers, this.top);
    this.pointers = new Map(); // fingers on the picture
    this.keyboard = false; // whether the crosshair is shown
    this.cursor = [Math.floor(W / 2), Math.floor(H / 2)];
    this.pressed = ""; // by "pointer" or "key"
    this.wide = W; // of the picture on screen, in CSS pixels
    this.all = makeCanvas(H, W);
    this.own = makeCanvas(H, W);
    this.tintAll = remember((...labels) => tintMasks(this.all, labels.map((label) => this.tint(label, 0.5)), H, W));
    this.tintOwn = remember((mask, colour) => tintMasks(this.own, [{ mask, colour, share: 0.6 }], H, W));
    this.listen();
  }

  tint(label, share) {
    return { mask: this.view.maskOf(label), colour: this.view.colour(label.class_index), share };
  }

  /** CSS pixels of one pixel of the picture. */
  get scale() {
    return (this.wide * this.look.zoom) / this.view.W;
  }

  /** A point of the page as a point of the picture. */
  at({ clientX, clientY }) {
    const { H, W } = this.view;
    const { left, top, width } = this.top.getBoundingClientRect();
    const pixel = W / (this.look.zoom * width);
    const [x, y] = [this.look.x + (clientX - left) * pixel, this.look.y + (clientY - top) * pixel];
    return [hundredth(clamp(x, 0, W)), hundredth(clamp(y, 0, H))];
  }

  /** Paint these layers in the next frame. `part` bounds what changed on the top one, in the picture's pixels. */
  ask(layers, part = null) {
    for (const layer of layers) {
      const whole = !part || this.due[layer] === "all";
      this.due[layer] = whole ? "all" : [...this.due[layer] ?? [], part];
    }
    this.frame ||= requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.frame = 0;
    if (!this.photo || !this.top.clientWidth) return;
    const { due } = this;
    this.due = {};
    const [photo, labels] = this.layers;
    const fresh = this.fit();
    if (due.photo || fresh) this.paintPhoto(photo);
    if (due.labels || fresh) this.paintLabels(labels);
    if (due.top || fresh) this.paintTop(this.top, fresh || due.top === "all" ? null : due.top);
  }

  /** Bring all canvases to the size of the screen; whether that changed them. */
  fit() {
    const density = window.devicePixelRatio || 1;
    const box = this.top.getBoundingClientRect();
    this.wide = box.width;
    const width = Math.max(1, Math.round(box.width * density));
    const height = Math.max(1, Math.round(box.height * density));
    if (this.top.width === width && this.top.height === height) return false;
    for (const canvas of [...this.layers, this.top]) Object.assign(canvas, { width, height });
    return true;
  }

  /** A context that draws in CSS pixels on an empty canvas, and what brings points of the picture there. */
  begin(canvas, clip) {
    const context = canvas.getContext("2d", { alpha: canvas !== this.layers[0] }); // the photo covers its layer
    const density = canvas.width / this.wide;
    const { scale, look } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    if (clip) {
      context.beginPath();
      context.rect(...clip);
      context.clip();
    }
    if (canvas !== this.layers[0]) context.clearRect(...clip ?? [0, 0, canvas.width, canvas.height]);
    context.setTransform(density, 0, 0, density, 0, 0);
    return { context, at: ([x, y]) => [(x - look.x) * scale, (y - look.y) * scale] };
  }

  /** A picture of H x W pixels where the photo is. */
  lay({ context, at }, picture, smooth) {
    const { H, W } = this.view;
    context.imageSmoothingEnabled = smooth;
    context.imageSmoothingQuality = this.moving ? "low" : "high"; // sharp again when it rests
    context.drawImage(picture, ...at([0, 0]), W * this.scale, H * this.scale);
  }

  paintPhoto(canvas) {
    this.lay(this.begin(canvas), this.photo, this.scale < 8);
  }

  paintLabels(canvas) {
    const pen = this.begin(canvas);
    const { view } = this;
    const others = view.labels.list.filter((label) => label.id !== view.selectedId);
    const masks = others.filter(({ kind }) => kind === "mask");
    this.tintAll(...masks);
    if (masks.length) this.lay(pen, this.all, false);
    for (const label of others) this.paintOne(pen, label);
  }

  paintOne({ context, at }, label) {
    if (label.kind === "image_class") return;
    const colour = this.view.colour(label.class_index);
    drawLabel(context, at, this.scale, label, colour);
    const [x, y] = at(label.kind === "mask" ? this.view.maskCorner(label) : bounds(label.points));
    drawTag(context, label.kind === "point" ? [x + 9, y + 7] : [x, y], String(label.class_index), colour);
  }

  /** What is under the hand: the selected label with its handles, the draft, the cursor. */
  paintTop(canvas, parts) {
    const context = canvas.getContext("2d");
    context.save();
    const pen = this.begin(canvas, parts && this.clip(canvas, parts));
    const { view } = this;
    const { draft } = view.hand;
    const shown = view.selected && (draft?.id === view.selectedId ? draft : view.selected);
    if (draft?.mask) this.paintMask(pen, draft.mask, draft.class_index);
    else if (shown?.kind === "mask") this.paintMask(pen, view.maskOf(shown), shown.class_index);
    if (shown && !draft?.mask) this.paintSelected(pen, shown);
    if (draft && !draft.mask && draft.id === undefined) this.paintDraft(pen, draft);
    if (view.hand.pending) dot(pen.context, pen.at(view.hand.pending), 5, view.colour(view.classIndex));
    this.paintCursor(pen);
    context.restore();
  }

  paintMask(pen, mask, classIndex) {
    this.tintOwn(mask, this.view.colour(classIndex));
    this.lay(pen, this.own, false);
  }

  paintSelected({ context, at }, label) {
    this.paintOne({ context, at }, label);
    if (this.view.tool !== "select") return;
    const { corner } = this.view.hand;
    for (const grip of handles(label)) {
      const chosen = !grip.adds && grip.corner !== undefined && grip.corner === corner;
      dot(context, at(grip.at), grip.adds ? 4 : chosen ? 7.5 : 6, chosen ? "#ffd500" : "#fff");
    }
  }

  paintDraft({ context, at }, draft) {
    const colour = this.view.colour(this.view.classIndex);
    drawLabel(context, at, this.scale, draft, colour, true);
    if (draft.kind !== "polygon") return;
    const { pending, pointer: over } = this.view.hand;
    const pointer = pending ?? (this.keyboard ? this.cursor : over);
    context.setLineDash([5, 4]);
    line(context, at, [draft.points.at(-1), pointer ?? draft.points.at(-1)]);
    inkTwice(context, colour, 1.5);
    context.setLineDash([]);
    draft.points.forEach((p, i) => dot(context, at(p), i ? 4 : 7, i ? colour : "#fff"));
  }

  paintCursor({ context, at }) {
    const { view } = this;
    const [x, y] = at(this.cursor);
    const wide = ["brush", "eraser", "scribble"].includes(view.tool);
    if (wide && (this.keyboard || this.hovering)) {
      context.beginPath();
      context.arc(x, y, Math.max((view.width * this.scale) / 2, 1.5), 0, 2 * Math.PI);
      inkTwice(context, "#fff", 1.2);
    }
    if (!this.keyboard) return;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 3 * dx, y + 3 * dy);
      context.lineTo(x + 16 * dx, y + 16 * dy);
    }
    inkTwice(context, this.pressed ? "#ffd500" : "#fff", 1.6);
  }

  /** The rectangle of whole canvas pixels that holds the changed parts and the cursor's old and new place. */
  clip(canvas, parts) {
    const density = canvas.width / this.wide;
    const unit = this.scale * density;
    const [x0, y0, x1, y1] = bounds(parts.flatMap(([a, b, c, d]) => [[a, b], [c, d]]));
    const margin = 6 * density;
    const left = Math.floor((x0 - this.look.x) * unit - margin);
    const top = Math.floor((y0 - this.look.y) * unit - margin);
    const right = Math.ceil((x1 - this.look.x) * unit + margin);
    const bottom = Math.ceil((y1 - this.look.y) * unit + margin);
    return [left, top, right - left, bottom - top];
  }

  /** What the cursor covers at a point, in the picture's pixels. */
  around([x, y]) {
    const reach = this.view.width / 2 + 17 / this.scale;
    return [x - reach, y - reach, x + reach, y + reach];
  }

  /** The brush has changed part of the mask that is being drawn. */
  touched(part) {
    const { draft } = this.view.hand;
    const { H, W } = this.view;
    const colour = this.view.colour(draft.class_index);
    if (draft.begun) tintMasks(this.own, [{ mask: draft.mask, colour, share: 0.6 }], H, W, part);
    else this.tintOwn(draft.mask, colour);
    this.ask(["top"], draft.begun ? part : null);
    draft.begun = true;
  }

  // ------------------------------------------------------------------------------------------- the pointer

  listen() {
    const { top } = this;
    const on = (name, listener, options) => top.addEventListener(name, listener, options);
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", (event) => this.up(event, true));
    on("pointerleave", () => {
      this.hovering = false;
      this.ask(["top"]);
    });
    on("dblclick", () => this.view.doubled());
    on("wheel", (event) => this.wheel(event), { passive: false });
    on("keydown", (event) => this.key(event));
    on("blur", () => {
      if (this.pressed === "key") this.view.abort();
      this.keyboard = false;
      this.ask(["top"]);
    });
  }

  down(event) {
    const { view } = this;
    if (event.pointerType === "touch" && this.pen) return; // a palm
    try {
      this.top.setPointerCapture(event.pointerId);
    } catch { /* a pointer that has gone already */ }
    this.top.focus({ preventScroll: true });
    if (this.pressed === "key") view.abort();
    if (event.pointerType === "pen") this.pen = true;
    if (event.pointerType === "touch") this.pointers.set(event.pointerId, event);
    this.keyboard = false;
    if (this.pointers.size === 2) return this.pinch();
    if (this.pointers.size > 2) return;
    if (event.button === 1 || (event.button === 0 && view.tool === "pan")) {
      this.grab = { event, look: { ...this.look } };
      return event.preventDefault(); // no scrolling by the wheel's button
    }
    if (event.button !== 0) return;
    this.pressed = "pointer";
    this.cursor = this.at(event);
    view.press(this.cursor, event.altKey);
  }

  move(event) {
    const { view } = this;
    if (this.pointers.has(event.pointerId)) this.pointers.set(event.pointerId, event);
    if (this.grab || this.pinched) return this.slide(event);
    if (this.pressed === "key" || this.still(event)) return;
    const events = event.getCoalescedEvents?.() ?? [];
    const points = (events.length ? events : [event]).map((e) => this.at(e));
    const before = this.cursor;
    this.cursor = points.at(-1);
    this.hovering = event.pointerType !== "touch";
    this.keyboard = false;
    if (this.pressed) view.drag(points, before);
    else view.hover(this.cursor, before);
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
      return this.ask(["photo"]);
    }
    if (this.pressed !== "pointer") return;
    if (cancelled) return this.view.abort();
    this.pressed = "";
    this.view.release(this.at(event));
  }

  /** Two fingers move and zoom the picture; what one of them had begun is dropped. */
  pinch() {
    if (this.pressed) this.view.abort();
    this.pinched = { look: { ...this.look }, ...this.fingers() };
  }

  /** Middle of the fingers on the picture, and how far they are apart. */
  fingers() {
    const places = [...this.pointers.values()].map(({ clientX, clientY }) => [clientX, clientY]);
    const [a, b] = [places[0], places[1] ?? places[0]];
    return { middle: { clientX: (a[0] + b[0]) / 2, clientY: (a[1] + b[1]) / 2 }, apart: distance(a, b) };
  }

  slide(event) {
    const pixel = 1 / this.scale;
    if (this.grab) {
      const { event: start, look } = this.grab;
      return this.setLook({ ...look, x: look.x - (event.clientX - start.clientX) * pixel,
        y: look.y - (event.clientY - start.clientY) * pixel });
    }
    if (this.pointers.size < 2) return;
    const { middle, apart } = this.fingers();
    const { look } = this.pinched;
    this.look = { ...look };
    const held = this.at(this.pinched.middle);
    this.zoomTo(look.zoom * (apart / Math.max(this.pinched.apart, 1)), held, middle);
  }

  wheel(event) {
    const wanted = event.ctrlKey || event.metaKey || this.top.matches(":focus");
    if (!wanted || (this.look.zoom === 1 && event.deltaY > 0)) return; // the notebook scrolls
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.zoomTo(this.look.zoom * Math.exp((-event.deltaY * lines) / (event.ctrlKey ? 100 : 400)), this.at(event), event);
  }

  /** Zoom so that the point `held` of the picture comes under the event (or stays where it is). */
  zoomTo(zoom, held, event = null) {
    const { left, top, width, height } = this.top.getBoundingClientRect();
    const { H, W } = this.view;
    const most = Math.max(8, (W / Math.max(width, 1)) * 40); // a pixel of the picture on 40 of the screen
    zoom = clamp(zoom, 1, most);
    const share = event ? [(event.clientX - left) / width, (event.clientY - top) / height]
      : [((held[0] - this.look.x) * this.look.zoom) / W, ((held[1] - this.look.y) * this.look.zoom) / H];
    this.setLook({ zoom, x: held[0] - (share[0] * W) / zoom, y: held[1] - (share[1] * H) / zoom });
  }

  /** Zoom by a factor round the crosshair, or the middle of what is in sight. */
  zoomBy(factor) {
    const { H, W } = this.view;
    const { x, y, zoom } = this.look;
    const middle = [x + W / zoom / 2, y + H / zoom / 2];
    this.zoomTo(zoom * factor, this.keyboard ? this.cursor : middle);
    this.view.say(`Zoom ${Math.round(100 * this.look.zoom)} %`);
  }

  setLook({ x, y, zoom }) {
    const { H, W } = this.view;
    this.look = { zoom, x: clamp(x, 0, W - W / zoom), y: clamp(y, 0, H - H / zoom) };
    this.moving = true;
    clearTimeout(this.rest);
    this.rest = setTimeout(() => { // sharp again, once it stands still
      this.moving = false;
      this.ask(["photo"]);
    }, 120);
    this.ask(["photo", "labels", "top"]);
    this.view.updateZoom();
  }

  // ------------------------------------------------------------------------------------------ the keyboard

  /** Keys on the picture; those that work everywhere in the widget are the view's. */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in moves) this.step(moves[event.key], event.shiftKey ? 10 : 1);
    else if (event.key === " ") this.space(event.repeat);
    else if (event.key === "Enter") {
      if (!event.repeat && !this.view.enter()) this.space();
    } else if (event.key.toLowerCase() === "n") this.nextGrip();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  step([dx, dy], stride) {
    const { H, W } = this.view;
    const [x, y] = this.cursor;
    this.goTo([clamp(Math.round(x + dx * stride), 0, W), clamp(Math.round(y + dy * stride), 0, H)]);
    this.view.say(`x ${this.cursor[0]}, y ${this.cursor[1]}`);
  }

  /** The crosshair goes there, with what it holds; the view follows it. */
  goTo(p) {
    const before = this.cursor;
    this.cursor = p;
    this.keyboard = true;
    this.keepInSight();
    if (this.pressed) this.view.drag([p], before);
    else this.view.hover(p, before);
    this.ask(["top"]);
  }

  keepInSight() {
    const { H, W } = this.view;
    const { zoom } = this.look;
    const [w, h] = [W / zoom, H / zoom];
    const x = clamp(this.look.x, this.cursor[0] - 0.95 * w, this.cursor[0] - 0.05 * w);
    const y = clamp(this.look.y, this.cursor[1] - 0.95 * h, this.cursor[1] - 0.05 * h);
    if (zoom > 1 && (x !== this.look.x || y !== this.look.y)) this.setLook({ zoom, x, y });
  }

  /** Space: a click; with tools that draw lines the pen goes down, and with the next Space up. */
  space(repeat = false) {
    if (repeat) return;
    const { view } = this;
    this.keyboard = true;
    if (this.pressed) {
      this.pressed = "";
      return view.release(this.cursor);
    }
    view.press(this.cursor);
    this.pressed = view.hand.holds && view.hand.busy ? "key" : "";
    if (!this.pressed) view.release(this.cursor);
    else if (view.tool !== "box") view.say("Down: arrow keys draw or move, Space lets go.");
  }

  /** N: the crosshair jumps to the next handle of the selected label. */
  nextGrip() {
    const grips = this.view.selected ? handles(this.view.selected) : [];
    if (!grips.length) return;
    const place = grips.findIndex(({ at }) => distance(at, this.cursor) < 0.01);
    this.goTo(grips[(place + 1) % grips.length].at.map(hundredth));
    this.view.say(`Handle ${((place + 1) % grips.length) + 1} of ${grips.length}`);
  }
}

/** A group of radio buttons that look like chips; one stop for the Tab key, arrow keys choose. */
class Chips {
  constructor(view, name, title, options, choose) {
    this.inputs = new Map();
    const chips = options.map(({ value, label, key, mark }) => {
      const input = focusable("input", { type: "radio", name: view.id(name), value: String(value) });
      if (key) input.setAttribute("aria-keyshortcuts", key);
      input.addEventListener("change", () => choose(value));
      this.inputs.set(value, input);
      const hint = key ? [element("kbd", { "aria-hidden": "true" }, key)] : [];
      return element("label", { className: "lka-chip", title: key ? `${label} (key ${key.toUpperCase()})` : label },
        input, mark, element("span", { className: "lka-name" }, label), ...hint);
    });
    this.root = element("fieldset", { className: `lka-chips lka-${name}` }, element("legend", {}, title),
      element("div", { className: "lka-row" }, ...chips));
  }

  update(value) {
    for (const [own, input] of this.inputs) input.checked = own === value;
  }
}

const swatch = (colour) => element("span", { className: "lka-swatch", style: `background: ${colour}` });

/** Which classes are in the picture at all: a label for the whole of it. */
class Ticks {
  constructor(view) {
    this.view = view;
    this.inputs = view.classes.map(([name, colour], i) => {
      const input = focusable("input", { type: "checkbox" });
      input.addEventListener("change", () => view.tick(i + 1, input.checked));
      return [input, element("label", { className: "lka-chip" }, input, swatch(colour),
        element("span", { className: "lka-name" }, name))];
    });
    this.root = element("fieldset", { className: "lka-chips lka-ticks" }, element("legend", {}, "In the picture"),
      element("div", { className: "lka-row" }, ...this.inputs.map(([, label]) => label)));
  }

  update() {
    const ticked = new Set(this.view.labels.list.filter((l) => l.kind === "image_class").map((l) => l.class_index));
    this.inputs.forEach(([input], i) => { input.checked = ticked.has(i + 1); });
  }
}

/** The finished labels; one stop for the Tab key, arrow keys select, Delete deletes. */
class List {
  constructor(view) {
    this.view = view;
    this.count = element("span", { className: "lka-soft" });
    this.none = element("p", { className: "lka-soft" }, "Nothing drawn yet.");
    this.list = focusable("ul", {
      className: "lka-list", role: "listbox", tabIndex: 0, "aria-labelledby": view.id("labels"),
    });
    this.root = element("div", { className: "lka-labels" },
      element("div", { className: "lka-head" }, element("b", { id: view.id("labels") }, "Labels"), this.count),
      this.none, this.list);
    this.fill = remember((selected, ...labels) => this.draw(selected, labels));
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("click", (event) => {
      const row = event.target.closest("[data-id]");
      if (row) view.choose(row.dataset.id);
    });
  }

  update() {
    this.fill(this.view.selectedId, ...this.view.labels.list);
  }

  draw(selected, labels) {
    this.count.textContent = labels.length ? String(labels.length) : "";
    this.none.hidden = labels.length > 0;
    this.list.hidden = !labels.length;
    this.list.replaceChildren(...labels.map((label, i) => this.row(label, i + 1, label.id === selected)));
    const chosen = this.list.querySelector("[aria-selected=true]");
    if (!chosen) return this.list.removeAttribute("aria-activedescendant");
    this.list.setAttribute("aria-activedescendant", chosen.id);
    const above = chosen.offsetTop;
    const below = above + chosen.offsetHeight - this.list.clientHeight;
    this.list.scrollTop = Math.max(below, Math.min(this.list.scrollTop, above));
  }

  row(label, number, selected) {
    const seconds = `${(label.milliseconds / 1000).toFixed(1)} s`;
    return element("li", {
      className: "lka-item", role: "option", id: this.view.id(`label-${number}`), "data-id": label.id,
      "aria-selected": String(selected),
    }, swatch(this.view.colour(label.class_index)),
    element("span", { className: "lka-name" }, `${label.class_index} ${this.view.className(label.class_index)}, `
      + KINDS[label.kind]), element("span", { className: "lka-soft" }, seconds));
  }

  key(event) {
    const ids = this.view.labels.list.map(({ id }) => id);
    const place = ids.indexOf(this.view.selectedId);
    const next = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: ids.length - 1 }[event.key];
    if (next === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.view.choose(ids[clamp(next, 0, ids.length - 1)]);
  }
}

const KEYS = [
  ["1 … 9", "class"], ["Arrow keys, Shift", "crosshair by 1 pixel, by 10"], ["Space", "place; pen down and up"],
  ["Enter", "place; close an outline"], ["N", "to the next handle of the selected label"],
  ["Delete, Backspace", "delete corner or label; take a corner back"], ["Escape", "drop what is under way; select nothing"],
  ["Ctrl+Z, Ctrl+Shift+Z", "undo, redo"], ["+ − 0", "zoom in, out, whole picture"], ["[ ]", "thinner, thicker"],
  ["Wheel, two fingers", "zoom (after a click into the picture)"], ["Wheel button", "move the view"],
];

// ------------------------------------------------------------------------------------------------ the view

let views = 0;

class Annotator {
  constructor(model) {
    const own = ++views; // two views of one annotator may share a page
    this.id = (name) => `lka-${own}-${name}`;
    this.model = model;
    [this.H, this.W] = model.get("_size");
    this.classes = model.get("_classes");
    this.masks = new WeakMap();
    this.late = null; // the clock that says that saving takes long
    this.isLate = false;
    this.selectedId = null;
    this.watch = new Stopwatch();
    this.labels = new Labels(model, () => this.changed());
    this.stage = new Stage(this);
    this.takeTool(model.get("tool"));
    this.root = this.layOut();
  }

  get tool() { return this.model.get("tool"); }
  get classIndex() { return this.model.get("class_index"); }
  get width() { return this.model.get("width"); }
  get unit() { return 1 / this.stage.scale; } // pixels of the picture in one CSS pixel
  get selected() { return this.selectedId === null ? null : this.labels.get(this.selectedId); }

  className(k) { return this.classes[k - 1]?.[0] ?? `class ${k}`; }
  colour(k) { return this.classes[k - 1]?.[1] ?? "#999999"; }

  /** The pixels of a mask label, decoded once. */
  maskOf(label) {
    if (!this.masks.has(label.counts)) this.masks.set(label.counts, decode(label.counts, ...label.size));
    return this.masks.get(label.counts);
  }

  /** Where the tag of a mask goes: the first pixel of its first column. */
  maskCorner({ counts, size: [H] }) {
    const first = counts[0];
    return [Math.floor(first / H), first % H];
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
    this.hand.press(p);
    if (alt && this.tool === "select" && this.hand.dropCorner()) this.cancel();
    this.refresh();
  }

  drag(points, before) {
    this.hand.drag(points);
    if (this.hand.draft?.mask) return this.stage.ask(["top"], this.cursorPart(before));
    this.stage.ask(["top"]);
  }

  /** What the cursor leaves and where it goes. */
  cursorPart(before) {
    const [a, b] = [this.stage.around(before), this.stage.around(this.stage.cursor)];
    return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])];
  }

  hover(p, before) {
    const wasBusy = this.hand.busy;
    this.hand.hover(p);
    if (wasBusy || this.hand.busy) this.stage.ask(["top"]);
    else if (["brush", "eraser", "scribble"].includes(this.tool)) this.stage.ask(["top"], this.cursorPart(before));
  }

  release(p) {
    this.hand.release(p);
    this.refresh();
  }

  cancel() {
    this.hand.cancel();
    this.stage.pressed = "";
    this.refresh();
  }

  abort() {
    this.hand.abort();
    this.stage.pressed = "";
    this.refresh();
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

  touched(part) {
    this.stage.touched(part);
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
    this.say(`${TOOLS[name][1]}. ${this.hint()}`);
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
    return this.hand.hint ?? TOOLS[this.tool][2];
  }

  say(text) {
    this.live.textContent = text;
  }

  // ------------------------------------------------------------------------------------------------ the keys

  key(event) {
    const letter = event.key.toLowerCase();
    const control = event.ctrlKey || event.metaKey;
    let used = true;
    if (control && letter === "z") event.shiftKey ? this.redo() : this.undo();
    else if (control && letter === "y") this.redo();
    else if (control || event.altKey) used = false;
    else if (/^[1-9]$/.test(letter)) this.setClass(+letter);
    else if (letter === "delete" || letter === "backspace") this.erase();
    else if (letter === "escape") this.escape();
    else if (letter === "+" || letter === "=") this.stage.zoomBy(1.5);
    else if (letter === "-") this.stage.zoomBy(1 / 1.5);
    else if (letter === "0") this.stage.zoomBy(0);
    else if (letter === "[" || letter === "]") this.setWidth(Math.round(this.width * (letter === "[" ? 0.8 : 1.25) + (letter === "]")));
    else used = this.keyTool(letter);
    if (used) event.preventDefault();
  }

  keyTool(letter) {
    const name = this.model.get("_tools").find((tool) => TOOLS[tool][0] === letter);
    if (!name) return false;
    this.setTool(name);
    return true;
  }

  escape() {
    if (this.hand.busy) this.cancel();
    else this.select(null);
  }

  // -------------------------------------------------------------------------------------------- on the screen

  takeTool(name) {
    this.hand?.cancel();
    this.stage.pressed = "";
    this.hand = TOOL_CLASSES[name](this);
    if (!["select", "pan"].includes(name) && !this.paints(this.selected)) this.selectedId = null;
  }

  /** Whether the tool in hand goes on with this label. */
  paints(label) {
    return label?.kind === "mask" && ["brush", "eraser"].includes(this.tool);
  }

  layOut() {
    this.live = element("div", { className: "lka-hidden", role: "status", "aria-live": "polite" });
    this.hintLine = element("p", { className: "lka-hint", id: this.id("hint") });
    this.state = element("p", { className: "lka-soft lka-state" });
    this.note = element("p", { className: "lka-note", role: "alert", hidden: true });
    this.list = new List(this);
    this.tools = new Chips(this, "tool", "Tool", this.model.get("_tools").map((name) => (
      { value: name, label: TOOLS[name][1], key: TOOLS[name][0], mark: icon(name) })), (name) => this.setTool(name));
    this.chips = new Chips(this, "class", "Class", this.classes.map(([name, colour], i) => (
      { value: i + 1, label: name, key: i < 9 ? String(i + 1) : "", mark: swatch(colour) })), (k) => this.setClass(k));
    this.ticks = this.model.get("_ticks") ? new Ticks(this) : null;
    // Whatever comes, goes or grows while a gesture lasts stands below the picture or beside it.
    const head = element("div", { className: "lka-head-side" }, this.chips.root, ...this.ticks ? [this.ticks.root] : []);
    const left = element("div", { className: "lka-left" }, this.tools.root, this.stage.root, this.hintLine, this.bar());
    const right = element("div", { className: "lka-right" },
      this.list.root, this.edits(), this.state, this.note, this.help());
    const whole = { className: "lka-whole", role: "group", "aria-label": "Annotator" };
    const root = element("div", { className: "lka-frame" }, element("div", whole, head, left, right, this.live));
    root.addEventListener("keydown", (event) => this.key(event));
    return root;
  }

  button(text, label, act, name = "") {
    const made = focusable("button", { type: "button", className: `lka-button ${name}`, title: label, "aria-label": label }, text);
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
      this.button("−", "Zoom out", () => this.stage.zoomBy(1 / 1.5)), this.zoomed,
      this.button("+", "Zoom in", () => this.stage.zoomBy(1.5)),
      this.button("Fit", "Show the whole picture", () => this.stage.zoomBy(0)), this.pen, this.close, this.drop, this.fresh);
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
    this.pen.hidden = !["scribble", "brush", "eraser"].includes(tool);
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
    const listeners = [
      ["change:_records", () => this.labels.receive()], ["change:_saved", () => this.labels.receive()],
      ["change:_note", () => this.updateState()], ["change:class_index", () => this.refresh()],
      ["change:width", () => this.refresh()],
      ["change:tool", () => {
        this.takeTool(this.tool);
        this.refresh(["labels", "top"]);
      }],
    ];
    for (const [event, listener] of listeners) this.model.on(event, listener);
    const resized = new ResizeObserver(() => this.stage.ask(["photo", "labels", "top"]));
    resized.observe(this.stage.root);
    this.open();
    return () => {
      this.gone = true;
      for (const [event, listener] of listeners) this.model.off(event, listener);
      resized.disconnect();
      this.watch.end();
      cancelAnimationFrame(this.stage.frame);
      clearTimeout(this.stage.rest);
      clearTimeout(this.late);
    };
  }

  /** Decode the picture; the stopwatch starts when it has been painted. */
  async open() {
    const photo = await createImageBitmap(new Blob([bytesOf(this.model.get("_image"))]));
    if (this.gone) return;
    this.stage.photo = photo;
    this.refresh(["photo", "labels", "top"]);
    requestAnimationFrame(() => requestAnimationFrame(() => {
      this.watch.restart();
      this.stage.root.dataset.painted = "true";
    }));
  }
}

function render({ model, el }) {
  const annotator = new Annotator(model);
  el.append(annotator.root);
  annotator.refresh(["photo", "labels", "top"]);
  return annotator.connect();
}

export default { render };
