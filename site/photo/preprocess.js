// A photograph as the network sees it: the arithmetic of lecturekit.models.Classifier.view, and EXIF orientation.
//
// Tests hold both against Python. Everything works on rows of the upright picture, a strip at a time, so that a
// photograph of 50 megapixels needs no canvas of that size, which telephones refuse.

const STRIP = 128; // rows in memory at a time
const CROP_SHARE = 224 / 256; // as in lecturekit.models
const MAX_RATIO = 100;
const KERNEL = -0.5; // a of Keys' cubic, as in Pillow and in torch with antialias

// -------------------------------------------------------------------------------------------- orientation

/**
 * Where a file says how it is to be turned: the byte offset of the EXIF orientation's value, and the value 1..8.
 * @param {Uint8Array} bytes of a JPEG, PNG or WebP file
 * @returns {{at: number, little: boolean, value: number, chunk?: number[]} | null}
 */
export function findOrientation(bytes) {
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    if (data.getUint16(0) === 0xffd8) return inJpeg(data);
    if (data.getUint32(0) === 0x89504e47) return inPng(data);
    if (text(data, 0, 4) === "RIFF" && text(data, 8, 4) === "WEBP") return inWebp(data);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // the file ends too soon: the decoder will say so
  }
  return null;
}

const text = (data, at, length) => String.fromCharCode(...Array.from({ length }, (_, i) => data.getUint8(at + i)));

function inJpeg(data) {
  for (let at = 2; data.getUint8(at) === 0xff;) {
    const marker = data.getUint8(at + 1);
    if (marker === 0xda || marker === 0xd9) return null; // the picture itself begins
    if (marker === 0xff) at += 1; // filling
    else if (marker === 0xe1 && text(data, at + 4, 6) === "Exif\0\0") return inTiff(data, at + 10);
    else at += 2 + data.getUint16(at + 2);
  }
  return null;
}

function inPng(data) {
  for (let at = 8; ; at += 12 + data.getUint32(at)) {
    const kind = text(data, at + 4, 4);
    if (kind === "eXIf") {
      const found = inTiff(data, at + 8);
      return found && { ...found, chunk: [at, at + 12 + data.getUint32(at)] };
    }
    if (kind === "IEND") return null;
  }
}

function inWebp(data) {
  for (let at = 12; ;) {
    const length = data.getUint32(at + 4, true);
    if (text(data, at, 4) === "EXIF") return inTiff(data, at + 8 + (text(data, at + 8, 6) === "Exif\0\0" ? 6 : 0));
    at += 8 + length + (length % 2);
  }
}

/** The orientation in the first directory of a TIFF header at `start`. */
function inTiff(data, start) {
  const little = data.getUint16(start) === 0x4949;
  const directory = start + data.getUint32(start + 4, little);
  for (let n = 0; n < data.getUint16(directory, little); n++) {
    const entry = directory + 2 + 12 * n;
    if (data.getUint16(entry, little) !== 0x0112) continue;
    const value = data.getUint16(entry + 8, little);
    return value >= 1 && value <= 8 ? { at: entry + 8, little, value } : null;
  }
  return null;
}

/**
 * The same file with the orientation taken out: browsers differ in whether they obey it, so we do it.
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {{at: number, little: boolean, chunk?: number[]}} found
 */
function withoutOrientation(bytes, { at, little, chunk }) {
  if (chunk) return new Blob([bytes.subarray(0, chunk[0]), bytes.subarray(chunk[1])]); // a PNG's has a check sum
  const copy = bytes.slice();
  new DataView(copy.buffer).setUint16(at, 1, little);
  return new Blob([copy]);
}

/** Matrix of a canvas on which a W x H picture, drawn at 0, 0, stands upright. */
function uprightMatrix(value, W, H) {
  return {
    1: [1, 0, 0, 1, 0, 0], 2: [-1, 0, 0, 1, W, 0], 3: [-1, 0, 0, -1, W, H], 4: [1, 0, 0, -1, 0, H],
    5: [0, 1, 1, 0, 0, 0], 6: [0, 1, -1, 0, H, 0], 7: [0, -1, -1, 0, H, W], 8: [0, -1, 1, 0, 0, W],
  }[value];
}

// --------------------------------------------------------------------------------------------------- reading

/**
 * A picture that can be read a few rows at a time: `rows(y0, y1)` gives RGBA, upright, on white.
 * @typedef {{width: number, height: number, rows: (y0: number, y1: number) => Uint8ClampedArray,
 *   close: () => void}} Source
 * @param {Blob} file
 * @returns {Promise<Source>}
 */
export async function openPhoto(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const found = findOrientation(bytes);
  const bitmap = await createImageBitmap(found ? withoutOrientation(bytes, found) : file, {
    colorSpaceConversion: "none", premultiplyAlpha: "none", // the numbers in the file, as Pillow reads them
  });
  const [W, H] = [bitmap.width, bitmap.height];
  const value = found?.value ?? 1;
  const [width, height] = value > 4 ? [H, W] : [W, H];
  const matrix = uprightMatrix(value, W, H);
  const canvas = new OffscreenCanvas(width, Math.min(STRIP, height));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingEnabled = false;
  const rows = (y0, y1) => {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, y1 - y0);
    const [a, b, c, d, e, f] = matrix;
    context.setTransform(a, b, c, d, e, f - y0);
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, width, y1 - y0).data;
  };
  return { width, height, rows, close: () => bitmap.close() };
}

// ------------------------------------------------------------------------------------------------- resizing

/** Half to the even number, as Python rounds. */
function roundEven(value) {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 ? below + 1 : below;
}

/**
 * Size of the whole picture, short side 256/224 of the view, and where in it the view begins.
 * @param {number} width @param {number} height @param {number} size
 */
export function cropOf(width, height, size) {
  const shortSide = roundEven(size / CROP_SHARE);
  const [W, H] = [width, height].map((n) => Math.floor((shortSide * n) / Math.min(width, height)));
  return { W, H, left: roundEven((W - size) / 2), top: roundEven((H - size) / 2) };
}

function cubic(x) {
  const d = Math.abs(x);
  if (d < 1) return ((KERNEL + 2) * d - (KERNEL + 3)) * d * d + 1;
  return d < 2 ? KERNEL * (((d - 5) * d + 8) * d - 4) : 0;
}

/** Where the kernel of one output begins in `n` source values, and its weights, which sum to 1. */
function kernelAt(centre, wide, n) {
  const reach = 2 * wide;
  const first = Math.max(Math.trunc(centre - reach + 0.5), 0);
  const end = Math.min(Math.trunc(centre + reach + 0.5), n);
  const weights = Array.from({ length: end - first }, (_, t) => cubic((first + t - centre + 0.5) / wide));
  const sum = weights.reduce((a, b) => a + b, 0);
  return { first, weights: weights.map((weight) => weight / sum) };
}

/**
 * Which of `n` source values make each of `N` outputs, and with which weights.
 *
 * Downwards the kernel is as wide as an output pixel's share of the source, which is what "antialias" means. The
 * weights are whole numbers, to be divided by 2^bits: as many bits as 16 have room for, as Pillow and torch do it.
 */
export function antialiasTaps(n, N) {
  const scale = n / N;
  const exact = Array.from({ length: N }, (_, i) => kernelAt(scale * (i + 0.5), Math.max(scale, 1), n));
  const largest = Math.max(...exact.map(({ weights }) => Math.max(...weights)));
  let bits = 0;
  while (bits < 22 && Math.trunc(0.5 + largest * 2 ** (bits + 1)) < 2 ** 15) bits++;
  const whole = (weight) => Math.trunc(weight * 2 ** bits + (weight < 0 ? -0.5 : 0.5));
  return { bits, outputs: exact.map(({ first, weights }) => ({ first, weights: Int32Array.from(weights, whole) })) };
}

/**
 * What the network sees of a picture: RGB, `size` x `size`, row by row.
 * @param {Source} source
 * @param {number} size
 * @returns {Uint8ClampedArray}
 */
export function viewOf({ width, height, rows }, size) {
  if (Math.max(width, height) > MAX_RATIO * Math.min(width, height))
    throw new Error(`the picture is ${width} × ${height}: too narrow`);
  const { W, H, left, top } = cropOf(width, height, size);
  const across = part(antialiasTaps(width, W), left, size);
  const down = part(antialiasTaps(height, H), top, size);
  const start = down.outputs[0].first;
  const end = Math.max(...down.outputs.map(({ first, weights }) => first + weights.length));
  // Across first, rounded to 8 bits, then down: the order matters where values leave 0..255.
  const narrow = new Uint8ClampedArray((end - start) * size * 3);
  for (let y0 = start; y0 < end; y0 += STRIP) {
    const y1 = Math.min(y0 + STRIP, end);
    const strip = rows(y0, y1);
    for (let y = y0; y < y1; y++)
      resizeRow(strip, (y - y0) * width * 4, across, narrow, (y - start) * size * 3);
  }
  return resizeDown(narrow, down, start, size);
}

/** The outputs that the view needs. */
const part = ({ bits, outputs }, from, count) => ({ bits, outputs: outputs.slice(from, from + count) });

/** One RGBA row at `from` in `source`, resized to RGB at `to` in `target`. */
function resizeRow(source, from, { bits, outputs }, target, to) {
  const half = 1 << (bits - 1);
  for (let x = 0; x < outputs.length; x++) {
    const { first, weights } = outputs[x];
    let [red, green, blue] = [half, half, half];
    for (let t = 0, at = from + 4 * first; t < weights.length; t++, at += 4) {
      const weight = weights[t];
      red += weight * source[at];
      green += weight * source[at + 1];
      blue += weight * source[at + 2];
    }
    target[to + 3 * x] = red >> bits;
    target[to + 3 * x + 1] = green >> bits;
    target[to + 3 * x + 2] = blue >> bits;
  }
}

function resizeDown(narrow, { bits, outputs }, start, size) {
  const stride = size * 3;
  const view = new Uint8ClampedArray(size * stride);
  const row = new Int32Array(stride);
  outputs.forEach(({ first, weights }, y) => {
    row.fill(1 << (bits - 1));
    for (let t = 0; t < weights.length; t++) {
      const from = (first + t - start) * stride;
      for (let i = 0; i < stride; i++) row[i] += weights[t] * narrow[from + i];
    }
    for (let i = 0; i < stride; i++) view[y * stride + i] = row[i] >> bits;
  });
  return view;
}
