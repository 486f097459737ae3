// The picture on screen: three canvases on each other (photo, finished labels, what is under the hand), and the
// part of it that is in sight.

import { clamp, element, focusable, remember } from "./dom.js";
import { bounds, handles, hundredth } from "./geometry.js";
import { dot, drawLabel, drawTag, inkTwice, line, makeCanvas, tintMasks } from "./ink.js";

/**
 * What is to be painted; the annotator gives it anew for each frame.
 * @typedef {object} Scene
 * @property {any[]} labels the finished ones
 * @property {any} selected one of them, or null
 * @property {any} draft the label under way, or null
 * @property {number[] | null} pending a point that is held down and not placed yet
 * @property {number[] | null} over where the pointer hovers over an outline that is being drawn
 * @property {number | null} corner the chosen corner of the selected outline
 * @property {boolean} grips whether handles are shown
 * @property {boolean} busy whether the tool in hand is in the middle of something
 * @property {number} pen width of the pen in hand, in pixels of the picture; 0 for tools without one
 * @property {number} classIndex of the next label
 */

export class Stage {
  /**
   * @param {{H: number, W: number, hintId: string, scene: () => Scene, colour: (k: number) => string,
   *   maskOf: (label: any) => Uint8Array, zoomed: (zoom: number) => void}} given
   */
  constructor({ H, W, hintId, scene, colour, maskOf, zoomed }) {
    this.H = H;
    this.W = W;
    this.scene = scene;
    this.colour = colour;
    this.maskOf = maskOf;
    this.zoomed = zoomed;
    this.look = { x: 0, y: 0, zoom: 1 }; // upper left corner in sight, in pixels of the picture
    this.photo = null;
    this.due = {};
    this.frame = 0;
    this.layers = ["photo", "labels"].map((name) => element("canvas", { className: `lka-layer lka-${name}`, "aria-hidden": "true" }));
    this.top = focusable("canvas", {
      className: "lka-layer lka-top", tabIndex: 0, role: "application", "aria-roledescription": "drawing area",
      "aria-label": `Picture of ${W} × ${H} pixels`, "aria-describedby": hintId,
    });
    this.root = element("div", { className: "lka-stage", style: `aspect-ratio: ${W} / ${H}; --ratio: ${W / H}` },
      ...this.layers, this.top);
    /** Where the pointer or the crosshair is; whether the crosshair shows, a mouse hovers, the pen is down. */
    this.cursor = { at: [Math.floor(W / 2), Math.floor(H / 2)], crosshair: false, hovering: false, down: false };
    this.wide = W; // of the picture on screen, in CSS pixels
    this.all = makeCanvas(H, W);
    this.own = makeCanvas(H, W);
    this.tintAll = remember((...labels) => tintMasks(this.all, labels.map((label) => this.tint(label, 0.5)), H, W));
    this.tintOwn = remember((mask, ink) => tintMasks(this.own, [{ mask, colour: ink, share: 0.6 }], H, W));
    this.resized = new ResizeObserver(() => this.ask(["photo", "labels", "top"]));
    this.resized.observe(this.root);
  }

  end() {
    this.resized.disconnect();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.rest);
  }

  tint(label, share) {
    return { mask: this.maskOf(label), colour: this.colour(label.class_index), share };
  }

  /** CSS pixels of one pixel of the picture. */
  get scale() {
    return (this.wide * this.look.zoom) / this.W;
  }

  /** A point of the page as a point of the picture. */
  at({ clientX, clientY }) {
    const { left, top, width } = this.top.getBoundingClientRect();
    const pixel = this.W / (this.look.zoom * width);
    const [x, y] = [this.look.x + (clientX - left) * pixel, this.look.y + (clientY - top) * pixel];
    return [hundredth(clamp(x, 0, this.W)), hundredth(clamp(y, 0, this.H))];
  }

  /** Paint these layers in the next frame. `part` bounds what changed on the top one, in the picture's pixels. */
  ask(layers, part = null) {
    for (const layer of layers) {
      const whole = !part || this.due[layer] === "all";
      this.due[layer] = whole ? "all" : [...this.due[layer] ?? [], part];
    }
    this.frame ||= requestAnimationFrame(() => this.paint());
  }

  /** The cursor has changed from what it was: paint as little as that changes. */
  follow(before) {
    const { busy, draft, pen } = this.scene();
    if (this.cursor.crosshair || before.crosshair) this.ask(["top"]);
    else if (pen && (draft?.mask || !busy)) this.ask(["top"], this.around(before.at, this.cursor.at));
    else if (busy) this.ask(["top"]);
  }

  /** What the cursor covers at two points, in the picture's pixels. */
  around(a, b) {
    const reach = this.scene().pen / 2 + 17 / this.scale;
    const [x0, y0, x1, y1] = bounds([a, b]);
    return [x0 - reach, y0 - reach, x1 + reach, y1 + reach];
  }

  paint() {
    this.frame = 0;
    if (!this.photo || !this.top.clientWidth) return;
    const { due } = this;
    this.due = {};
    const [photo, labels] = this.layers;
    const fresh = this.fit();
    if (due.photo || fresh) this.lay(this.begin(photo), this.photo, this.scale < 8);
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
    /** @param {number[]} p */
    const at = ([x, y]) => [(x - look.x) * scale, (y - look.y) * scale];
    return { context, at };
  }

  /** A picture of H x W pixels where the photo is. */
  lay({ context, at }, picture, smooth) {
    context.imageSmoothingEnabled = smooth;
    context.imageSmoothingQuality = this.moving ? "low" : "high"; // sharp again when it rests
    context.drawImage(picture, ...at([0, 0]), this.W * this.scale, this.H * this.scale);
  }

  paintLabels(canvas) {
    const pen = this.begin(canvas);
    const { labels, selected } = this.scene();
    const others = labels.filter((label) => label.id !== selected?.id);
    const masks = others.filter(({ kind }) => kind === "mask");
    this.tintAll(...masks);
    if (masks.length) this.lay(pen, this.all, false);
    for (const label of others) this.paintOne(pen, label);
  }

  paintOne({ context, at }, label) {
    if (label.kind === "image_class") return;
    const colour = this.colour(label.class_index);
    drawLabel(context, at, this.scale, label, colour);
    const [x, y] = at(label.kind === "mask" ? firstPixel(label) : bounds(label.points));
    drawTag(context, label.kind === "point" ? [x + 9, y + 7] : [x, y], String(label.class_index), colour);
  }

  /** What is under the hand: the selected label with its handles, the draft, the cursor. */
  paintTop(canvas, parts) {
    const context = canvas.getContext("2d");
    context.save();
    const pen = this.begin(canvas, parts && this.clip(canvas, parts));
    const scene = this.scene();
    const { draft, pending, selected } = scene;
    const shown = selected && draft?.id === selected.id ? draft : selected;
    if (draft?.mask) this.paintMask(pen, draft.mask, draft.class_index);
    else if (shown?.kind === "mask") this.paintMask(pen, this.maskOf(shown), shown.class_index);
    if (shown && !draft?.mask) this.paintSelected(pen, shown, scene);
    if (draft && !draft.mask && draft.id === undefined) this.paintDraft(pen, scene);
    if (pending) dot(context, pen.at(pending), 5, this.colour(scene.classIndex));
    this.paintCursor(pen, scene.pen);
    context.restore();
  }

  paintMask(pen, mask, classIndex) {
    this.tintOwn(mask, this.colour(classIndex));
    this.lay(pen, this.own, false);
  }

  paintSelected({ context, at }, label, { grips, corner }) {
    this.paintOne({ context, at }, label);
    if (!grips) return;
    for (const grip of handles(label)) {
      const chosen = !grip.adds && grip.corner !== undefined && grip.corner === corner;
      dot(context, at(grip.at), grip.adds ? 4 : chosen ? 7.5 : 6, chosen ? "#ffd500" : "#fff");
    }
  }

  paintDraft({ context, at }, { draft, pending, over, classIndex }) {
    const colour = this.colour(classIndex);
    drawLabel(context, at, this.scale, draft, colour, true);
    if (draft.kind !== "polygon") return;
    const pointer = pending ?? (this.cursor.crosshair ? this.cursor.at : over);
    context.setLineDash([5, 4]);
    line(context, at, [draft.points.at(-1), pointer ?? draft.points.at(-1)]);
    inkTwice(context, colour, 1.5);
    context.setLineDash([]);
    draft.points.forEach((p, i) => dot(context, at(p), i ? 4 : 7, i ? colour : "#fff"));
  }

  paintCursor({ context, at }, pen) {
    const { crosshair, hovering, down } = this.cursor;
    const [x, y] = at(this.cursor.at);
    if (pen && (crosshair || hovering)) {
      context.beginPath();
      context.arc(x, y, Math.max((pen * this.scale) / 2, 1.5), 0, 2 * Math.PI);
      inkTwice(context, "#fff", 1.2);
    }
    if (!crosshair) return;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 3 * dx, y + 3 * dy);
      context.lineTo(x + 16 * dx, y + 16 * dy);
    }
    inkTwice(context, down ? "#ffd500" : "#fff", 1.6);
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

  /** The brush has changed part of the mask of a draft, for the first time or once more. */
  touched(draft, part) {
    const colour = this.colour(draft.class_index);
    if (draft.begun) tintMasks(this.own, [{ mask: draft.mask, colour, share: 0.6 }], this.H, this.W, part);
    else this.tintOwn(draft.mask, colour);
    this.ask(["top"], draft.begun ? part : null);
    draft.begun = true;
  }

  // ---------------------------------------------------------------------------------------- what is in sight

  /** Zoom so that the point `held` of the picture comes under the event (or stays where it is). */
  zoomTo(zoom, held, event = null) {
    const { left, top, width, height } = this.top.getBoundingClientRect();
    const { H, W } = this;
    const most = Math.max(8, (W / Math.max(width, 1)) * 40); // a pixel of the picture on 40 of the screen
    zoom = clamp(zoom, 1, most);
    const share = event ? [(event.clientX - left) / width, (event.clientY - top) / height]
      : [((held[0] - this.look.x) * this.look.zoom) / W, ((held[1] - this.look.y) * this.look.zoom) / H];
    this.setLook({ zoom, x: held[0] - (share[0] * W) / zoom, y: held[1] - (share[1] * H) / zoom });
  }

  /** Zoom by a factor round the crosshair, or the middle of what is in sight. */
  zoomBy(factor) {
    const { x, y, zoom } = this.look;
    const middle = [x + this.W / zoom / 2, y + this.H / zoom / 2];
    this.zoomTo(zoom * factor, this.cursor.crosshair ? this.cursor.at : middle);
  }

  setLook({ x, y, zoom }) {
    const { H, W } = this;
    this.look = { zoom, x: clamp(x, 0, W - W / zoom), y: clamp(y, 0, H - H / zoom) };
    this.moving = true;
    clearTimeout(this.rest);
    this.rest = setTimeout(() => { // sharp again, once it stands still
      this.moving = false;
      this.ask(["photo"]);
    }, 120);
    this.ask(["photo", "labels", "top"]);
    this.zoomed(zoom);
  }

  /** Move what is in sight so that the crosshair is. */
  keepCursorInSight() {
    const { zoom } = this.look;
    const [w, h] = [this.W / zoom, this.H / zoom];
    const [u, v] = this.cursor.at;
    const x = clamp(this.look.x, u - 0.95 * w, u - 0.05 * w);
    const y = clamp(this.look.y, v - 0.95 * h, v - 0.05 * h);
    if (zoom > 1 && (x !== this.look.x || y !== this.look.y)) this.setLook({ zoom, x, y });
  }
}

/** Where the tag of a mask goes: the first pixel of its first column. */
function firstPixel({ counts, size: [H] }) {
  return [Math.floor(counts[0] / H), counts[0] % H];
}
