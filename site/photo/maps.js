// From the network's maps to the CAM explorer, whose model stands in for Python on this page.

import { Model } from "../live/model.js";

/**
 * What the explorer shows of one picture at one size.
 * @typedef {{size: number, h: number, w: number, view: Uint8ClampedArray, maps: Float32Array}} Explained
 * @typedef {{categories: string[], bias: number[], colours: any[], tables: string, files: any[]}} Course
 */

/** Logits: the mean of each map and the bias of its class. @param {Explained} explained @param {number[]} bias */
export function logitsOf({ maps, h, w }, bias) {
  const area = h * w;
  return Float32Array.from(bias, (value, k) => {
    let sum = 0;
    for (let i = k * area; i < (k + 1) * area; i++) sum += maps[i];
    return sum / area + value;
  });
}

/**
 * The explorer's model.
 * @param {Explained} explained
 * @param {Course} course
 * @param {Object<string, any>} state what the reader has chosen
 */
export function explorerModel(explained, course, state) {
  const { size, h, w, view, maps } = explained;
  return new Model({
    class_index: 0, threshold: 0.2, opacity: 0.5, upsampling: "bilinear", signed: false,
    colour: course.colours[0][0], pixel: null, compare_index: null, layer: "class map", ...state,
    _size: [size, size], _image: view, _categories: course.categories, _layers: [["class map", h, w]],
    _maps: maps, _logits: logitsOf(explained, course.bias), _bias: Float32Array.from(course.bias),
    _colours: course.colours, _tables: fromBase64(course.tables),
  });
}

const KEPT = ["class_index", "threshold", "opacity", "upsampling", "signed", "colour", "compare_index"];

/** What the reader has chosen, for a model of the same picture at another size. */
export function keptState(model, size) {
  const state = Object.fromEntries(KEPT.map((name) => [name, model.get(name)]));
  const scale = size / model.get("_size")[0];
  return { ...state, pixel: model.get("pixel")?.map((v) => Math.floor(v * scale)) ?? null };
}

/** @param {string} text */
const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/**
 * A stored example at one size: its maps are whole numbers of 8 bits, each class with a scale of its own.
 * @param {ArrayBuffer} buffer scales as float32, then the maps
 * @param {{size: number, cells: number}} shape
 * @param {ImageBitmap | HTMLImageElement} picture
 * @param {number} K
 * @returns {Explained}
 */
export function storedExample(buffer, { size, cells }, picture, K) {
  const scales = new Float32Array(buffer, 0, K);
  const whole = new Int8Array(buffer, 4 * K);
  const maps = Float32Array.from(whole, (value, i) => value * scales[Math.floor(i / (cells * cells))]);
  const canvas = Object.assign(document.createElement("canvas"), { width: size, height: size });
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0, size, size);
  const rgba = context.getImageData(0, 0, size, size).data;
  const view = new Uint8ClampedArray(3 * size * size);
  for (let i = 0; i < view.length; i++) view[i] = rgba[i + Math.floor(i / 3)];
  return { size, h: cells, w: cells, view, maps };
}
