// The CAM explorer in the browser: the class maps arrive once, and everything after that happens here.
//
// First the arithmetic, as pure exported functions that mirror lecturekit.maps (a test holds the two against
// each other); then the drawing; then the controls. `state` holds what both sides know (the synced traits);
// where the pointer hovers stays in the browser.

const STATE = [
  "class_index", "compare_index", "layer", "threshold", "opacity", "upsampling", "colour", "signed", "pixel",
];
const ROWS = 60; // classes listed at once; typing narrows the list
const TOP_HERE = 5; // classes named in the read-out
const ORANGE = "#e69f00"; // boxes, as in lecturekit.plots
const DARK = "rgba(0, 0, 0, 0.75)";

// ---------------------------------------------------------------------------------------------- arithmetic

/** Which of `n` map values make each of `N` pixels along one axis: taps per pixel, indices, weights. */
export function axisTaps(n, N, mode) {
  const taps = { nearest: 1, bilinear: 2, bicubic: 4 }[mode];
  const indices = new Int32Array(N * taps);
  const weights = new Float64Array(N * taps);
  for (let i = 0; i < N; i++) {
    const source = ((i + 0.5) * n) / N - (mode === "nearest" ? 0 : 0.5);
    const first = Math.floor(source) - (mode === "bicubic" ? 1 : 0);
    for (let t = 0; t < taps; t++) {
      indices[i * taps + t] = Math.min(Math.max(first + t, 0), n - 1);
      weights[i * taps + t] = tapWeight(Math.abs(source - first - t), mode);
    }
  }
  return { taps, indices, weights };
}

/** Weight of a map value `distance` cells away; bicubic is Keys' kernel with a = -0.75, as in torch. */
function tapWeight(distance, mode) {
  if (mode === "nearest") return 1;
  if (mode === "bilinear") return Math.max(0, 1 - distance);
  const a = -0.75;
  if (distance <= 1) return ((a + 2) * distance - (a + 3)) * distance * distance + 1;
  return distance < 2 ? ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a : 0;
}

/** A map of h x w values (row by row) at H x W pixels. */
export function upsample(map, h, w, H, W, mode) {
  const across = axisTaps(w, W, mode);
  const rows = new Float64Array(h * W);
  for (let y = 0; y < h; y++)
    for (let x = 0; x < W; x++)
      for (let t = x * across.taps; t < (x + 1) * across.taps; t++)
        rows[y * W + x] += across.weights[t] * map[y * w + across.indices[t]];
  const down = axisTaps(h, H, mode);
  const values = new Float32Array(H * W);
  for (let y = 0; y < H; y++)
    for (let x = 0; x < W; x++) {
      let sum = 0;
      for (let t = y * down.taps; t < (y + 1) * down.taps; t++)
        sum += down.weights[t] * rows[down.indices[t] * W + x];
      values[y * W + x] = sum;
    }
  return values;
}

/** The evidence of every class at one pixel: what `upsample` would give there, for K maps laid end to end. */
export function evidenceAt(maps, K, h, w, H, W, mode, x, y) {
  const across = axisTaps(w, W, mode);
  const down = axisTaps(h, H, mode);
  const evidence = new Float64Array(K);
  for (let v = y * down.taps; v < (y + 1) * down.taps; v++)
    for (let u = x * across.taps; u < (x + 1) * across.taps; u++) {
      const weight = down.weights[v] * across.weights[u];
      const cell = down.indices[v] * w + across.indices[u];
      for (let k = 0; k < K; k++) evidence[k] += weight * maps[k * h * w + cell];
    }
  return evidence;
}

export function extremes(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high };
}

/**
 * The largest 8-connected region strictly above `share` of the maximum; of equal ones the first in reading
 * order. Gives its mask, area and half-open box [x0, y0, x1, y1], or null where nothing is above.
 */
export function largestRegion(values, H, W, share) {
  const { low, high } = extremes(values);
  if (!(high > low && high > 0)) return null;
  const limit = Math.fround(Math.fround(share) * high); // rounded as torch rounds it
  const labels = new Int32Array(H * W);
  const stack = new Int32Array(H * W);
  let best = null;
  for (let start = 0, label = 0; start < H * W; start++) {
    if (labels[start] || !(values[start] > limit)) continue;
    const region = fill(values, labels, stack, H, W, limit, start, ++label);
    if (!best || region.area > best.area) best = region;
  }
  return best && { ...best, mask: labels.map((label) => +(label === best.label)) };
}

/** Give `label` to everything above `limit` that is connected with `start`. */
function fill(values, labels, stack, H, W, limit, start, label) {
  const region = { label, area: 0, box: [W, H, 0, 0] };
  let top = 0;
  stack[top++] = start;
  labels[start] = label;
  while (top) {
    const here = stack[--top];
    const x = here % W;
    const y = (here - x) / W;
    const [x0, y0, x1, y1] = region.box;
    region.box = [Math.min(x0, x), Math.min(y0, y), Math.max(x1, x + 1), Math.max(y1, y + 1)];
    region.area++;
    for (let v = Math.max(y - 1, 0); v <= Math.min(y + 1, H - 1); v++)
      for (let u = Math.max(x - 1, 0); u <= Math.min(x + 1, W - 1); u++) {
        const next = v * W + u;
        if (labels[next] || !(values[next] > limit)) continue;
        labels[next] = label;
        stack[top++] = next;
      }
  }
  return region;
}

export function softmax(logits) {
  const { high } = extremes(logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - high));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}

/** Colours for values from `low` to `high`: RGBA bytes from a table of 256 RGB triples. */
export function colourise(values, low, high, table) {
  const rgba = new Uint8ClampedArray(values.length * 4);
  const scale = high > low ? 256 / (high - low) : 0;
  for (let i = 0; i < values.length; i++) {
    const entry = 3 * Math.min(Math.max(Math.floor((values[i] - low) * scale), 0), 255);
    rgba[4 * i] = table[entry];
    rgba[4 * i + 1] = table[entry + 1];
    rgba[4 * i + 2] = table[entry + 2];
    rgba[4 * i + 3] = 255;
  }
  return rgba;
}

/** Indices of the classes whose name holds every word of the query, or whose number it is, in `order`. */
export function findClasses(categories, order, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return order.filter((k) => {
    const name = categories[k].toLowerCase();
    return words.every((word) => name.includes(word)) || query.trim() === String(k);
  });
}

/** Indices from the highest score to the lowest. */
export function ranking(scores) {
  return Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a] || a - b);
}

// ------------------------------------------------------------------------------------------------- drawing

/** Outline of a mask as a path along the edges of its pixels. */
function outline(mask, H, W) {
  const path = new Path2D();
  const inside = (x, y) => x >= 0 && y >= 0 && x < W && y < H && mask[y * W + x];
  const edge = (x0, y0, x1, y1) => {
    path.moveTo(x0, y0);
    path.lineTo(x1, y1);
  };
  for (let y = 0; y < H; y++)
    for (let x = 0; x < W; x++) {
      if (!mask[y * W + x]) continue;
      if (!inside(x, y - 1)) edge(x, y, x + 1, y);
      if (!inside(x, y + 1)) edge(x, y + 1, x + 1, y + 1);
      if (!inside(x - 1, y)) edge(x, y, x, y + 1);
      if (!inside(x + 1, y)) edge(x + 1, y, x + 1, y + 1);
    }
  return path;
}

/** A canvas off screen, H x W pixels, with these RGBA bytes. */
function pixelsToCanvas(rgba, H, W) {
  const canvas = document.createElement("canvas");
  canvas.width = W;
  canvas.height = H;
  canvas.getContext("2d").putImageData(new ImageData(rgba, W, H), 0, 0);
  return canvas;
}

/** A line on a halo, so that it is seen on every colour of every map; widths in CSS pixels. */
function strokeTwice(context, path, unit, [colour, width], [haloColour, haloWidth]) {
  for (const [ink, thickness] of [[haloColour, haloWidth], [colour, width]]) {
    context.strokeStyle = ink;
    context.lineWidth = thickness * unit;
    context.stroke(path);
  }
}

/** Paint photograph, evidence, outline, box and crosshair on one canvas, sharp on any screen. */
function paint(canvas, { photo, heat, smooth, opacity, region, contour, pixel }) {
  const W = photo.width;
  const H = photo.height;
  const density = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(canvas.clientWidth * density));
  const height = Math.max(1, Math.round((width * H) / W));
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.setTransform(width / W, 0, 0, height / H, 0, 0); // from here on in pixels of the photograph
  context.imageSmoothingQuality = "high";
  context.globalAlpha = 1;
  context.imageSmoothingEnabled = true;
  context.drawImage(photo, 0, 0);
  context.globalAlpha = opacity;
  context.imageSmoothingEnabled = smooth;
  context.drawImage(heat, 0, 0);
  context.globalAlpha = 1;
  const unit = (density * W) / width; // one CSS pixel
  if (region) {
    strokeTwice(context, contour, unit, ["#fff", 1], [DARK, 2.5]);
    const [x0, y0, x1, y1] = region.box;
    const box = new Path2D();
    const inset = 2 * unit; // keeps a box at the border of the picture in sight
    box.rect(x0 + inset, y0 + inset, x1 - x0 - 2 * inset, y1 - y0 - 2 * inset);
    strokeTwice(context, box, unit, [ORANGE, 2.5], ["#fff", 4.5]);
  }
  if (pixel) strokeTwice(context, crosshair(pixel[0] + 0.5, pixel[1] + 0.5, unit), unit, ["#fff", 1.5], [DARK, 4]);
}

function crosshair(x, y, unit) {
  const path = new Path2D();
  path.arc(x, y, 7 * unit, 0, 2 * Math.PI);
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    path.moveTo(x + 3 * unit * dx, y + 3 * unit * dy);
    path.lineTo(x + 14 * unit * dx, y + 14 * unit * dy);
  }
  return path;
}

// ---------------------------------------------------------------------------------------------------- text

const number = (value, digits = 2) => (Number(value.toFixed(digits)) || 0).toFixed(digits).replace("-", "\u2212");
const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)}\u00a0%`;
const chance = (p) => (p >= 0.0005 ? percent(p, 1) : "<\u00a00.1\u00a0%");

/** An element with properties (`aria-…` and `data-…` as attributes) and children. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && !name.includes("-")) made[name] = value;
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

/** Keep the last result of a function for as long as its arguments stay the same. */
function remember(compute) {
  let known;
  let result;
  return (...inputs) => {
    if (!known || inputs.some((input, i) => input !== known[i])) {
      result = compute(...inputs);
      known = inputs;
    }
    return result;
  };
}

// ---------------------------------------------------------------------------------------------------- data

/** Bytes of a trait as an aligned array; front ends hand over a DataView or an ArrayBuffer. */
function bytesOf(value, Type) {
  const [buffer, start, length] = ArrayBuffer.isView(value)
    ? [value.buffer, value.byteOffset, value.byteLength]
    : [value, 0, value.byteLength];
  return new Type(buffer.slice(start, start + length));
}

function readData(model) {
  const [H, W] = model.get("_size");
  const categories = model.get("_categories");
  const layers = readLayers(model, categories.length);
  const logits = bytesOf(model.get("_logits"), Float32Array); // empty where they are not known
  const bias = bytesOf(model.get("_bias"), Float32Array);
  const first = Object.values(layers)[0];
  const scores = logits.length ? logits : categories.map((_, k) => meanOf(first, k));
  return {
    H, W, K: categories.length, categories, layers, logits, bias,
    photo: pixelsToCanvas(withAlpha(bytesOf(model.get("_image"), Uint8Array)), H, W),
    colours: readColours(model),
    order: ranking(scores),
    probabilities: logits.length ? softmax(logits) : null,
  };
}

/** Sets of maps by name; `maps` holds K maps of h x w, one after the other. */
function readLayers(model, K) {
  const numbers = bytesOf(model.get("_maps"), Float32Array);
  const layers = {};
  let start = 0;
  for (const [name, h, w] of model.get("_layers")) {
    layers[name] = { h, w, maps: numbers.subarray(start, start + K * h * w) };
    start += K * h * w;
  }
  return layers;
}

function readColours(model) {
  const tables = bytesOf(model.get("_tables"), Uint8Array);
  return model.get("_colours").map(([name, label, signed], i) => ({
    name, label, signed, table: tables.subarray(768 * i, 768 * (i + 1)),
  }));
}

function withAlpha(rgb) {
  const rgba = new Uint8ClampedArray((rgb.length / 3) * 4).fill(255);
  for (let i = 0; i < rgb.length; i++) rgba[i + Math.floor(i / 3)] = rgb[i];
  return rgba;
}

const mapOf = ({ maps, h, w }, k) => maps.subarray(k * h * w, (k + 1) * h * w);
const meanOf = (layer, k) => mapOf(layer, k).reduce((sum, value) => sum + value, 0) / (layer.h * layer.w);

// ------------------------------------------------------------------------------------- parts of the screen
// Each part is made once, from the `view` it belongs to, and has an `update` that costs little where nothing
// has changed.

/** One picture: the photograph with the evidence for one class, and the pointer and the keys on it. */
class Picture {
  constructor(view) {
    const { H, W } = view.data;
    this.view = view;
    this.canvas = focusable("canvas", {
      className: "lk-canvas", tabIndex: 0, role: "application", "aria-roledescription": "evidence map",
      "aria-describedby": view.id("help"), style: `aspect-ratio: ${W} / ${H}`,
    });
    this.caption = element("figcaption");
    this.figure = element("figure", { className: "lk-picture" }, this.canvas, this.caption);
    this.upsampled = remember((layer, k, mode) => upsample(mapOf(layer, k), layer.h, layer.w, H, W, mode));
    this.largest = remember((values, share) => largestRegion(values, H, W, share));
    this.contour = remember((region) => region && outline(region.mask, H, W));
    this.heat = remember((values, low, high, table) =>
      pixelsToCanvas(colourise(values, low, high, table), H, W));
    this.listenToPointer();
    this.listenToKeys();
  }

  evidence(k) {
    return this.upsampled(this.view.layer, k, this.view.state.upsampling);
  }

  region(k) {
    return this.largest(this.evidence(k), this.view.state.threshold);
  }

  update(k, { low, high, table }) {
    const { data, state, pixel } = this.view;
    const region = this.region(k);
    paint(this.canvas, {
      photo: data.photo, heat: this.heat(this.evidence(k), low, high, table), opacity: state.opacity,
      smooth: state.upsampling !== "nearest", region, contour: this.contour(region), pixel,
    });
    const likely = data.probabilities ? ` ${chance(data.probabilities[k])}` : "";
    this.caption.replaceChildren(element("b", {}, data.categories[k]), likely);
    this.canvas.setAttribute("aria-label", `Evidence for ${this.view.caption(k)}, over the photograph`);
  }

  /** Pixel of the photograph, [x, y], under a pointer event. */
  at({ clientX, clientY }) {
    const { H, W } = this.view.data;
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const [x, y] = [((clientX - left) / width) * W, ((clientY - top) / height) * H];
    return [clamp(Math.floor(x), W), clamp(Math.floor(y), H)];
  }

  listenToPointer() {
    const { canvas, view } = this;
    const follow = (event) => view.point(this.at(event));
    const leave = () => view.point(null);
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      follow(event);
    });
    canvas.addEventListener("pointermove", follow);
    canvas.addEventListener("pointerup", (event) => {
      view.commit({ pixel: this.at(event) });
      view.announce(view.here.sentence());
    });
    canvas.addEventListener("pointerleave", leave);
    canvas.addEventListener("pointercancel", leave);
  }

  listenToKeys() {
    const { canvas, view } = this;
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    canvas.addEventListener("keydown", (event) => {
      if (event.key === "Escape") view.commit({ pixel: null });
      if (!(event.key in moves)) return;
      event.preventDefault();
      view.point(null);
      view.show({ pixel: this.step(moves[event.key], event.shiftKey) });
      view.announce(view.here.sentence());
    });
    const settle = () => {
      const { pixel } = view.state;
      if (String(pixel) !== String(view.model.get("pixel"))) view.commit({ pixel });
    };
    canvas.addEventListener("keyup", settle);
    canvas.addEventListener("blur", settle);
  }

  /** The crosshair one step on: a quarter of a map cell, or one pixel if `fine`. It starts in the middle. */
  step([dx, dy], fine) {
    const { data: { H, W }, layer, state } = this.view;
    const [x, y] = state.pixel ?? [W >> 1, H >> 1];
    const stride = (n, cells) => (fine ? 1 : Math.max(1, Math.round(n / cells / 4)));
    return [clamp(x + dx * stride(W, layer.w), W), clamp(y + dy * stride(H, layer.h), H)];
  }
}

const clamp = (index, n) => Math.min(Math.max(index, 0), n - 1);

/** The colour bar, the values of its ends, and a mark at the threshold. */
class Legend {
  constructor(view) {
    this.view = view;
    this.bar = element("canvas", { className: "lk-bar", width: 256, height: 1, "aria-hidden": "true" });
    this.mark = element("div", { className: "lk-mark", "aria-hidden": "true" });
    this.ticks = element("div", { className: "lk-ticks" });
    this.root = element("div", { className: "lk-legend" },
      element("div", { className: "lk-bar-frame" }, this.bar, this.mark), this.ticks);
    this.fill = remember((...texts) => this.ticks.replaceChildren(...texts.map((t) => element("span", {}, t))));
    this.draw = remember((table) => {
      const ramp = Float32Array.from({ length: 256 }, (_, i) => i + 0.5);
      this.bar.getContext("2d").putImageData(new ImageData(colourise(ramp, 0, 256, table), 256, 1), 0, 0);
    });
  }

  update({ low, high, peak, table }) {
    const { signed, threshold } = this.view.state;
    this.draw(table);
    if (!(high > 0)) this.fill("no evidence", "", "");
    else if (signed) this.fill(`${number(low)} against`, "0", `for ${number(high)}`);
    else this.fill("0", "evidence for the class", number(high));
    this.mark.hidden = !(high > 0);
    this.mark.style.left = `${(100 * (threshold * Math.max(peak, 0) - low)) / (high - low || 1)}%`;
  }
}

/** Search among the classes: a text field and the list that it filters; arrow keys choose in the list. */
class ClassList {
  constructor(view) {
    const { K } = view.data;
    this.view = view;
    this.list = element("ul", {
      className: "lk-list", role: "listbox", id: view.id("list"), "aria-label": "Classes",
    });
    this.search = focusable("input", {
      type: "text", className: "lk-search", role: "combobox", id: view.id("search"), autocomplete: "off",
      spellcheck: false, placeholder: `search ${K} classes`, "aria-controls": view.id("list"),
      "aria-expanded": "true", "aria-autocomplete": "list",
    });
    this.count = element("span", { className: "lk-count" });
    const label = element("label", { htmlFor: view.id("search") }, "Class");
    this.root = element("div", {},
      element("div", { className: "lk-head" }, label, this.count), this.search, this.list);
    this.draw = remember((query, chosen) => this.fill(query, chosen));
    this.listen();
  }

  update() {
    this.draw(this.search.value, this.view.state.class_index);
  }

  fill(query, chosen) {
    const found = findClasses(this.view.data.categories, this.view.data.order, query);
    const shown = found.slice(0, ROWS);
    if (!query && !shown.includes(chosen)) shown.unshift(chosen);
    this.count.textContent = query ? `${found.length} found` : "most likely first";
    this.list.replaceChildren(...shown.map((k) => this.row(k, k === chosen)));
    if (!shown.length) this.list.append(element("li", {
      className: "lk-none", role: "option", "aria-disabled": "true", "aria-selected": "false",
    }, `no class is called “${query.trim()}”`));
    const selected = this.list.querySelector("[aria-selected='true']");
    if (selected) this.search.setAttribute("aria-activedescendant", selected.id);
    else this.search.removeAttribute("aria-activedescendant");
    if (selected) keepInSight(selected, this.list);
  }

  row(k, selected) {
    const { id, data: { categories, probabilities } } = this.view;
    const p = probabilities?.[k];
    return barRow(categories[k], p === undefined ? "" : chance(p), p ?? 0, {
      id: id(`class-${k}`), role: "option", "aria-selected": String(selected), "data-index": k,
    });
  }

  listen() {
    this.search.addEventListener("input", () => this.view.show({}));
    this.search.addEventListener("keydown", (event) => {
      const shown = [...this.list.querySelectorAll("[data-index]")].map((row) => +row.dataset.index);
      const place = shown.indexOf(this.view.state.class_index);
      const next = { ArrowDown: place + 1, ArrowUp: place - 1, Enter: place }[event.key];
      if (event.key === "Escape") {
        this.search.value = "";
        this.view.show({});
      }
      if (next === undefined) return;
      event.preventDefault();
      if (shown.length) this.choose(shown[clamp(next, shown.length)]);
    });
    this.list.addEventListener("click", (event) => {
      const row = event.target.closest("[data-index]");
      if (row) this.choose(+row.dataset.index);
    });
  }

  choose(k) {
    this.view.commit({ class_index: k });
    this.view.announce(`${this.view.caption(k)}. ${this.view.boxText()}`);
  }
}

/** A list item: name and number on a bar as long as `share`. */
function barRow(name, value, share, properties = {}) {
  const row = element("li", { className: "lk-row", ...properties },
    element("span", { className: "lk-name" }, name), element("span", { className: "lk-share" }, value));
  row.style.setProperty("--share", `${100 * Math.max(share, 0)}%`);
  return row;
}

/** Scroll `list` until `row` is seen (scrollIntoView would move the notebook as well). */
function keepInSight(row, list) {
  const above = row.offsetTop;
  const below = above + row.offsetHeight - list.clientHeight;
  list.scrollTop = Math.max(below, Math.min(list.scrollTop, above));
}

/** What is said about the pixel under the pointer or the crosshair. */
class Here {
  constructor(view) {
    const { H, W, K } = view.data;
    this.view = view;
    this.root = element("div", { className: "lk-here" });
    this.all = remember((layer, mode, x, y) => evidenceAt(layer.maps, K, layer.h, layer.w, H, W, mode, x, y));
    this.draw = remember((evidence, x, y, ...chosen) => this.fill(evidence, x, y, chosen));
  }

  /** Evidence of all classes at that pixel. */
  evidence() {
    return this.all(this.view.layer, this.view.state.upsampling, ...this.view.pixel);
  }

  update() {
    if (this.view.pixel) this.draw(this.evidence(), ...this.view.pixel, ...this.view.chosen);
    else this.draw(null);
  }

  fill(evidence, x, y, chosen) {
    if (!evidence) {
      this.root.replaceChildren(element("p", { className: "lk-hint" }, "Point at the picture (or focus it and "
        + "press the arrow keys) to read the evidence there; a click pins the place."));
      return;
    }
    const { categories } = this.view.data;
    const order = ranking(evidence);
    const rows = order.slice(0, TOP_HERE).map((k) => {
      const share = evidence[k] / Math.abs(evidence[order[0]]) || 0;
      const className = chosen.includes(k) ? "lk-row lk-chosen" : "lk-row";
      return barRow(categories[k], number(evidence[k]), share, { className });
    });
    const places = chosen.flatMap((k) => [" for ", bold(categories[k]), ": ", bold(number(evidence[k])),
      ` (place ${order.indexOf(k) + 1} of ${order.length})`]);
    this.root.replaceChildren(
      element("p", {}, "Evidence at ", bold(`x ${x}, y ${y}`), ...places),
      element("ol", { className: "lk-top", "aria-label": "Classes with the most evidence here" }, ...rows));
  }

  /** The same in one sentence, for a screen reader. */
  sentence() {
    const { pixel, data: { categories } } = this.view;
    if (!pixel) return "";
    const evidence = this.evidence();
    const say = (k) => `${categories[k]} ${number(evidence[k])}`;
    const best = ranking(evidence).slice(0, TOP_HERE).map(say);
    const chosen = this.view.chosen.map(say);
    return `x ${pixel[0]}, y ${pixel[1]}: ${chosen.join(", ")}. Most evidence here: ${best.join(", ")}.`;
  }
}

const bold = (text) => element("b", {}, text);

/** A labelled slider for the trait `name`: shown while it moves, sent when it is let go. */
function slider(view, name, label, max, step, words) {
  const id = view.id(name);
  const input = focusable("input", { type: "range", id, min: 0, max, step });
  const value = element("output", { htmlFor: id, className: "lk-value" });
  input.addEventListener("input", () => view.show({ [name]: +input.value }));
  input.addEventListener("change", () => view.commit({ [name]: +input.value }));
  const update = () => {
    if (+input.value !== view.state[name]) input.value = view.state[name];
    value.textContent = words(view.state[name]);
    input.setAttribute("aria-valuetext", value.textContent);
  };
  return { root: element("div", { className: "lk-slider" }, labelFor(id, label), input, value), update };
}

/** A labelled list for the trait `name`; `options` gives [value, text] pairs for the present state. */
function choice(view, name, label, options) {
  const id = view.id(name);
  const input = focusable("select", { id });
  input.addEventListener("change", () => view.commit({ [name]: input.value }));
  let shown = "";
  const update = () => {
    const pairs = options();
    if (shown !== JSON.stringify(pairs)) // a list that is open must not be filled anew
      input.replaceChildren(...pairs.map(([value, text]) => element("option", { value }, text)));
    shown = JSON.stringify(pairs);
    input.value = view.state[name];
  };
  return { root: element("div", { className: "lk-choice" }, labelFor(id, label), input), update };
}

const labelFor = (id, text) => element("label", { htmlFor: id }, text);

/** Signed or positive evidence; each has colour maps of its own. */
function signedBox(view) {
  const id = view.id("signed");
  const input = focusable("input", { type: "checkbox", id });
  input.addEventListener("change", () => {
    const signed = input.checked;
    view.commit({ signed, colour: view.data.colours.find((c) => c.signed === signed).name });
  });
  const update = () => { input.checked = view.state.signed; };
  const label = labelFor(id, "Show evidence against the class too");
  return { root: element("div", { className: "lk-check" }, input, label), update };
}

/** The button that puts the present class beside the next, and takes it away again. */
function compareButton(view) {
  const root = focusable("button", { type: "button", className: "lk-button" });
  root.addEventListener("click", () => {
    const { class_index, compare_index } = view.state;
    const other = view.data.order.find((k) => k !== class_index) ?? class_index;
    if (compare_index === null) view.commit({ compare_index: class_index, class_index: other });
    else view.commit({ compare_index: null });
    view.announce(`Shown: ${view.chosen.map((k) => view.caption(k)).join("; beside it ")}.`);
  });
  const update = () => {
    root.textContent = view.state.compare_index === null ? "Compare with another class" : "Back to one picture";
  };
  return { root, update };
}

// ------------------------------------------------------------------------------------------------ the view

let views = 0;

class Explorer {
  constructor(model) {
    const own = ++views; // two views of one explorer may share a page
    this.id = (name) => `lk-cam-${own}-${name}`;
    this.model = model;
    this.data = readData(model);
    this.state = Object.fromEntries(STATE.map((name) => [name, model.get(name)]));
    this.hover = null; // where the mouse is; stays in the browser
    this.frame = 0;
    this.pictures = [new Picture(this), new Picture(this)];
    this.legend = new Legend(this);
    this.classes = new ClassList(this);
    this.here = new Here(this);
    this.controls = this.makeControls();
    this.root = this.layOut();
  }

  get layer() {
    return this.data.layers[this.state.layer];
  }

  get pixel() {
    return this.hover ?? this.state.pixel;
  }

  /** The classes on screen: one, or two side by side. */
  get chosen() {
    return [this.state.class_index, this.state.compare_index].filter((k) => k !== null);
  }

  /** Change what is seen while a gesture lasts; painted once a frame. */
  show(change) {
    Object.assign(this.state, change);
    this.frame ||= requestAnimationFrame(() => this.update());
  }

  /** The end of a gesture: show it, and tell Python. */
  commit(change) {
    this.show(change);
    for (const [name, value] of Object.entries(change)) this.model.set(name, value);
    this.model.save_changes();
  }

  point(pixel) {
    this.hover = pixel;
    this.show({});
  }

  announce(text) {
    this.live.textContent = text;
  }

  makeControls() {
    const { layers, colours } = this.data;
    const layer = choice(this, "layer", "Map", () => Object.keys(layers).map((name) => [name, name]));
    layer.root.hidden = Object.keys(layers).length < 2;
    return [
      compareButton(this),
      slider(this, "threshold", "Threshold", 0.95, 0.01, (v) => `${percent(v)} of max`),
      slider(this, "opacity", "Opacity", 1, 0.05, (v) => percent(v)),
      layer,
      choice(this, "upsampling", "Upsampling", () => [
        ["nearest", `none (${this.layer.h} × ${this.layer.w})`], ["bilinear", "bilinear"], ["bicubic", "bicubic"],
      ]),
      choice(this, "colour", "Colours", () =>
        colours.filter((c) => c.signed === this.state.signed).map((c) => [c.name, c.label])),
      signedBox(this),
    ];
  }

  layOut() {
    this.row = element("div", { className: "lk-pictures" }, ...this.pictures.map((picture) => picture.figure));
    this.facts = element("div", { className: "lk-facts" });
    this.live = element("div", { className: "lk-hidden", role: "status", "aria-live": "polite" });
    const help = element("p", { className: "lk-hidden", id: this.id("help") },
      "Arrow keys move the crosshair by a quarter of a map cell, with Shift by one pixel. Escape removes it.");
    const left = element("div", { className: "lk-left" }, this.row, this.legend.root, this.facts);
    const right = element("div", { className: "lk-right" },
      this.classes.root, ...this.controls.map((control) => control.root));
    const whole = { className: "lk-cam", role: "group", "aria-label": "Class activation map explorer" };
    return element("div", { className: "lk-frame" },
      element("div", whole, left, this.here.root, right, help, this.live));
  }

  /** Follow the model and the size of the screen; gives the function that ends it. */
  connect() {
    const listeners = STATE.map((name) => [`change:${name}`, () => this.show({ [name]: this.model.get(name) })]);
    for (const [event, listener] of listeners) this.model.on(event, listener);
    const resized = new ResizeObserver(() => this.show({})); // also once at the start, when there is a size
    for (const picture of this.pictures) resized.observe(picture.canvas);
    return () => {
      for (const [event, listener] of listeners) this.model.off(event, listener);
      resized.disconnect();
      cancelAnimationFrame(this.frame);
    };
  }

  /** Bring everything on screen up to date. */
  update() {
    this.frame = 0;
    const { chosen } = this;
    const range = this.colourRange();
    this.pictures.forEach((picture, i) => {
      picture.figure.hidden = i >= chosen.length;
      if (i < chosen.length) picture.update(chosen[i], range);
    });
    this.row.classList.toggle("lk-two", chosen.length === 2);
    this.facts.replaceChildren(...[this.logitText(), this.boxText()].map((text) => element("p", {}, text)));
    for (const part of [this.legend, this.classes, this.here, ...this.controls]) part.update(range);
  }

  /** Values of the colour bar's ends, common to all pictures; `peak` is the maximum of the first. */
  colourRange() {
    const found = this.chosen.map((k, i) => extremes(this.pictures[i].evidence(k)));
    const { signed, colour } = this.state;
    const high = Math.max(0, ...found.map((range) => (signed ? Math.max(range.high, -range.low) : range.high)));
    const { table } = this.data.colours.find((c) => c.name === colour);
    return { low: signed ? -high : 0, high, peak: found[0].high, table };
  }

  caption(k) {
    const { categories, probabilities } = this.data;
    return categories[k] + (probabilities ? `, probability ${chance(probabilities[k])}` : "");
  }

  /** logit = mean of the map + bias, said only where it holds: it does for CAM, not for other maps. */
  logitText() {
    const { logits, bias } = this.data;
    const k = this.state.class_index;
    if (!logits.length) return "";
    const mean = meanOf(this.layer, k);
    const holds = bias.length && Math.abs(mean + bias[k] - logits[k]) < 0.001 * Math.max(1, Math.abs(logits[k]));
    const sum = holds ? ` = mean of the map ${number(mean)} + bias ${number(bias[k])}` : "";
    return `${this.whose()}logit ${number(logits[k])}${sum}`;
  }

  boxText() {
    const region = this.pictures[0].region(this.state.class_index);
    if (!region) return `${this.whose()}no evidence for this class anywhere: no box`;
    const [x0, y0, x1, y1] = region.box;
    const share = ((x1 - x0) * (y1 - y0)) / (this.data.H * this.data.W);
    return `${this.whose()}box of the largest region: x ${x0}\u2013${x1}, y ${y0}\u2013${y1} `
      + `(${percent(share)} of the picture)`;
  }

  /** With two pictures on screen, a line says which of them it is about. */
  whose() {
    return this.chosen.length > 1 ? `${this.data.categories[this.state.class_index]}: ` : "";
  }
}

function render({ model, el }) {
  const explorer = new Explorer(model);
  el.append(explorer.root);
  explorer.show({});
  return explorer.connect();
}

export default { render };
