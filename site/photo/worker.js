// The network, in a thread of its own: it is given all it needs as bytes and asks nobody for anything.
//
// Takes {kind: "start", runtime, wasm, network} (gzipped bytes) and {kind: "explain", file, sizes}; sends
// {kind: "ready"}, {kind: "explained", size, h, w, view, maps} for each size, {kind: "failed", why}.

import { openPhoto, viewOf } from "./preprocess.js";

/** @type {any} */
let ort;
/** @type {any} */
let session;

/** @param {ArrayBuffer} bytes */
function unzip(bytes) {
  const head = new Uint8Array(bytes, 0, 2);
  if (head[0] !== 0x1f || head[1] !== 0x8b) return bytes; // the server has unpacked it on the way
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function startNetwork({ runtime, wasm, network }) {
  const module = new Blob([await unzip(runtime)], { type: "text/javascript" });
  ort = await import(URL.createObjectURL(module));
  ort.env.wasm.wasmBinary = await unzip(wasm);
  ort.env.wasm.numThreads = 1; // more would need headers that a plain file server does not send
  session = await ort.InferenceSession.create(new Uint8Array(await unzip(network)), { executionProviders: ["wasm"] });
  postMessage({ kind: "ready" });
}

async function explain({ file, sizes }) {
  const source = await openPhoto(file).catch(() => {
    throw new Error("This file is no picture that your browser can read. JPEG, PNG and WebP work everywhere.");
  });
  try {
    for (const size of sizes) {
      const view = viewOf(source, size);
      const pixels = new ort.Tensor("uint8", new Uint8Array(view.buffer), [size, size, 3]);
      const { maps } = await session.run({ pixels });
      const [, , h, w] = maps.dims;
      const answer = { kind: "explained", size, h, w, view, maps: Float32Array.from(maps.data) };
      postMessage(answer, { transfer: [answer.maps.buffer] });
    }
  } finally {
    source.close();
  }
}

onmessage = async ({ data }) => {
  try {
    await { start: startNetwork, explain }[data.kind](data);
  } catch (error) {
    postMessage({ kind: "failed", why: error instanceof Error ? error.message : String(error) });
  }
};
