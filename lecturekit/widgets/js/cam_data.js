// The explorer's data as they come from the kernel, and numbers as a reader sees them.

import { pixelsToCanvas } from "./cam_paint.js";
import { bytesOf } from "./dom.js";
import { ranking, softmax } from "./maps.js";

export const number = (value, digits = 2) => (Number(value.toFixed(digits)) || 0).toFixed(digits).replace("-", "\u2212");
export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)}\u00a0%`;
export const chance = (p) => (p >= 0.0005 ? percent(p, 1) : "<\u00a00.1\u00a0%");

/** What the kernel has sent, once, in the form that the explorer works with. */
export function readData(model) {
  const [H, W] = model.get("_size");
  const categories = model.get("_categories");
  const layers = readLayers(model, categories.length);
  const logits = new Float32Array(bytesOf(model.get("_logits"))); // empty where they are not known
  const bias = new Float32Array(bytesOf(model.get("_bias")));
  const first = Object.values(layers)[0];
  const scores = logits.length ? logits : categories.map((_, k) => meanOf(first, k));
  return {
    H, W, K: categories.length, categories, layers, logits, bias,
    photo: pixelsToCanvas(withAlpha(new Uint8Array(bytesOf(model.get("_image")))), H, W),
    colours: readColours(model),
    order: ranking(scores),
    probabilities: logits.length ? softmax(logits) : null,
  };
}

/** Sets of maps by name; `maps` holds K maps of h x w, one after the other. */
function readLayers(model, K) {
  const numbers = new Float32Array(bytesOf(model.get("_maps")));
  const layers = {};
  let start = 0;
  for (const [name, h, w] of model.get("_layers")) {
    layers[name] = { h, w, maps: numbers.subarray(start, start + K * h * w) };
    start += K * h * w;
  }
  return layers;
}

function readColours(model) {
  const tables = new Uint8Array(bytesOf(model.get("_tables")));
  return model.get("_colours").map(([name, label, signed], i) => ({
    name, label, signed, table: tables.subarray(768 * i, 768 * (i + 1)),
  }));
}

function withAlpha(rgb) {
  const rgba = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let i = 0; i < rgb.length; i++) rgba[i + Math.floor(i / 3)] = rgb[i];
  return rgba;
}

export const mapOf = ({ maps, h, w }, k) => maps.subarray(k * h * w, (k + 1) * h * w);
export const meanOf = (layer, k) => mapOf(layer, k).reduce((sum, value) => sum + value, 0) / (layer.h * layer.w);
