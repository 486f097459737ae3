// How labels look: lines, dots, tags and tinted masks on a canvas.
// All lines are drawn in CSS pixels: `at` brings a point of the picture there.

import { bounds, cornersOf } from "./geometry.js";

const DARK = "rgba(0, 0, 0, 0.7)";


export function line(context, at, points, closed) {
  context.beginPath();
  points.forEach((p, i) => (i ? context.lineTo(...at(p)) : context.moveTo(...at(p))));
  if (points.length === 1) context.lineTo(...at(points[0])); // a dot, with round ends
  if (closed) context.closePath();
}

/** A line on a dark halo, so that it is seen on any picture. */
export function inkTwice(context, colour, width = 2) {
  for (const [ink, thick] of [[DARK, width + 2], [colour, width]]) {
    context.strokeStyle = ink;
    context.lineWidth = thick;
    context.stroke();
  }
}

export function dot(context, /** @type {number[]} */ [x, y], radius, fill, rim = DARK) {
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
export function drawLabel(context, at, scale, { kind, points, width }, colour, open = false) {
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
export function drawTag(context, /** @type {number[]} */ [x, y], text, colour) {
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
export function tintMasks(canvas, masks, H, W, part = [0, 0, W, H]) {
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

export function makeCanvas(H, W) {
  return Object.assign(document.createElement("canvas"), { width: W, height: H });
}
