// What a label is worth: the pixels it marks, against the object's. As lecturekit.labels.shapes and labs.stopwatch.

import { bounds, stroke } from "../../lecturekit/widgets/js/geometry.js";
import { clamp } from "../../lecturekit/widgets/js/dom.js";

const LONGEST = 1800; // seconds after which a label was interrupted

/** The pixels inside an outline, by the even-odd rule; a centre on an edge counts on the right and lower ones. */
function outlined(points, H, W) {
  const turned = new Uint8Array(H * (W + 1));
  points.forEach((start, i) => {
    const end = points[(i + 1) % points.length];
    const down = start[1] < end[1] || (start[1] === end[1] && start[0] <= end[0]);
    const [[xa, ya], [xb, yb]] = down ? [start, end] : [end, start];
    const last = clamp(Math.floor(yb + 0.5), 0, H);
    for (let row = clamp(Math.floor(ya + 0.5), 0, H); row < last; row++) {
      const x = xa + (row + 0.5 - ya) * ((xb - xa) / (yb - ya));
      turned[row * (W + 1) + clamp(Math.floor(x + 0.5), 0, W)] ^= 1;
    }
  });
  const mask = new Uint8Array(H * W);
  for (let row = 0; row < H; row++)
    for (let x = 0, inside = 0; x < W; x++) {
      inside ^= turned[row * (W + 1) + x];
      mask[row * W + x] = inside;
    }
  return mask;
}

/** The pixels whose centres are in a box; half open, with centres on the right and lower edge. */
function boxed(/** @type {number[]} */ [x0, y0, x1, y1], H, W) {
  const mask = new Uint8Array(H * W);
  const [left, right] = [x0, x1].map((x) => clamp(Math.floor(x + 0.5), 0, W));
  const [top, bottom] = [y0, y1].map((y) => clamp(Math.floor(y + 0.5), 0, H));
  for (let y = top; y < bottom; y++) mask.fill(1, y * W + left, y * W + right);
  return mask;
}

/** The pixels that a label marks, row by row. */
export function rasterised({ kind, points, width }, H, W) {
  if (kind === "polygon") return outlined(points, H, W);
  if (kind === "box" || kind === "extreme") return boxed(bounds(points), H, W);
  const mask = new Uint8Array(H * W);
  if (kind === "image_class") return mask;
  points.forEach(([x, y], i) => {
    mask[Math.min(Math.floor(y), H - 1) * W + Math.min(Math.floor(x), W - 1)] = 1;
    if (kind === "scribble") stroke(mask, H, W, points[Math.max(i - 1, 0)], points[i], width, 1);
  });
  return mask;
}

const countOf = (mask) => mask.reduce((sum, v) => sum + v, 0);

/** Intersection over union of two masks; 0 where both are empty. */
export function maskIou(a, b) {
  const both = countOf(a.map((v, i) => v & b[i]));
  const either = countOf(a) + countOf(b) - both;
  return either ? both / either : 0;
}

/** Intersection over union of two boxes [x0, y0, x1, y1]. */
export function boxIou(a, b) {
  const area = ([x0, y0, x1, y1]) => (x1 - x0) * (y1 - y0);
  const [width, height] = [0, 1].map((k) => Math.min(a[k + 2], b[k + 2]) - Math.max(a[k], b[k]));
  const both = Math.max(width, 0) * Math.max(height, 0);
  return both / (area(a) + area(b) - both);
}

/** What labels of one kind on one picture took and are worth, or null where that is not known. */
export function measured(kind, task, labels) {
  const drawn = labels.filter((label) => label.kind === kind);
  const seconds = drawn.reduce((sum, label) => sum + label.milliseconds, 0) / 1000;
  if (!drawn.length || !(seconds > 0 && seconds <= LONGEST)) return null;
  const last = drawn.at(-1);
  const [H, W] = task.size;
  const marked = rasterised(last, H, W);
  const iou = maskIou(marked, task.mask);
  return { kind, picture: task.number, seconds, iou, fit: fitOf(kind, task, drawn, marked, iou) };
}

function fitOf(kind, task, drawn, marked, iou) {
  if (kind === "image_class") {
    const said = new Set(drawn.map((label) => label.class_index));
    const either = new Set([...said, ...task.present]);
    return [...said].filter((k) => task.present.includes(k)).length / either.size;
  }
  const last = drawn.at(-1);
  if (last.class_index !== task.class_index) return 0;
  if (kind === "box" || kind === "extreme") return boxIou(bounds(last.points), task.box);
  if (kind === "polygon") return iou;
  return countOf(marked.map((v, i) => v & task.mask[i])) / countOf(marked);
}

/** The middle of some numbers. */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
}
