// Arithmetic on points, outlines and masks, and the form of a label.
//
// Points are [x, y] in pixels of the picture. A mask is a Uint8Array of zeros and ones, row by row.

import { clamp } from "./dom.js";

export const REACH = 9; // CSS pixels within which a handle or a line is meant
export const SLOP = 4; // CSS pixels that a hand moves without meaning it
/** The kinds of label, as a reader is told of them. @type {Object<string, string>} */
export const KINDS = {
  image_class: "image class", point: "point", scribble: "scribble", box: "box", extreme: "box, extreme points",
  polygon: "outline", mask: "mask",
};

/**
 * @typedef {number[]} Point
 * @typedef {{id?: string, kind: string, class_index: number, points: Point[], milliseconds: number,
 *   width?: number, size?: number[], counts?: number[]}} Label
 * @typedef {{at: Point, drag: (p: Point) => Point[], adds?: boolean, corner?: number}} Handle
 */

export const hundredth = (value) => Math.round(value * 100) / 100;
export const distance = (/** @type {number[]} */ [x, y], /** @type {number[]} */ [u, v]) => Math.hypot(x - u, y - v);

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

export const cornersOf = (/** @type {number[]} */ [x0, y0, x1, y1]) => [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];

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

/** A mask from the lengths of its runs. */
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
