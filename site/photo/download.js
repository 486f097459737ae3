// The large files: fetched once, with progress, and kept in the browser's Cache Storage.

const STORE = "lecturekit-photo";

/** What this browser lacks, in words; empty where it has everything. */
export function missing() {
  const lacks = [];
  // A module of one function with a SIMD instruction; `validate` compiles nothing.
  const simd = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0,
    253, 15, 253, 98, 11);
  if (typeof WebAssembly !== "object") lacks.push("WebAssembly");
  else if (!WebAssembly.validate(simd)) lacks.push("WebAssembly with SIMD");
  for (const name of ["DecompressionStream", "OffscreenCanvas", "Worker", "createImageBitmap"])
    if (!(name in globalThis)) lacks.push(name);
  return lacks;
}

/** The store, or null where there is none: pages that came neither by https nor from this machine. */
const openStore = async () => ("caches" in globalThis ? caches.open(STORE).catch(() => null) : null);

/** Whether all files are in the browser already. @param {{name: string}[]} files */
export async function isStored(files) {
  const store = await openStore();
  const found = await Promise.all(files.map(({ name }) => store?.match(name)));
  return found.every(Boolean);
}

/** Take everything out of the store. */
export const forget = async () => "caches" in globalThis && caches.delete(STORE);

/**
 * The bytes of all files, from the store or from the server.
 * @param {{name: string, bytes: number}[]} files
 * @param {(share: number) => void} progress
 * @param {AbortSignal} signal
 * @returns {Promise<ArrayBuffer[]>}
 */
export async function load(files, progress, signal) {
  const store = await openStore();
  await removeOthers(store, files);
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  const buffers = [];
  for (const { name, bytes } of files) {
    const stored = await store?.match(name);
    const buffer = stored ? await stored.arrayBuffer() : await fetchFile(name, signal, (n) => progress((done + n) / total));
    if (store && !stored) await store.put(name, new Response(buffer)).catch(() => {}); // a full disk is no fault
    done += bytes;
    progress(done / total);
    buffers.push(buffer);
  }
  return buffers;
}

/** Files of an older edition have other names and are of no use. */
async function removeOthers(store, files) {
  const names = files.map(({ name }) => new URL(name, location.href).href);
  for (const request of (await store?.keys()) ?? []) if (!names.includes(request.url)) await store.delete(request);
}

async function fetchFile(name, signal, progress) {
  const answer = await fetch(name, { signal });
  if (!answer.ok) throw new Error(`The server has no ${name} (it says ${answer.status}).`);
  const parts = [];
  let count = 0;
  const reader = answer.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    progress((count += part.value.length));
  }
  return new Blob(parts).arrayBuffer();
}
