// Arithmetic on class maps; it mirrors lecturekit.evidence.maps (a test holds the two against each other).

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

/** The least and the largest value. */
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

/** Probabilities of logits. */
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
