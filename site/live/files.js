// The data beside a page: JSON whose bytes are files of their own.

/** What a request gives, or an error that says what did not arrive. */
async function fetched(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${answer.status} for ${address}`);
  return answer;
}

/** Numbers of 16 bits as 32-bit floats. @param {ArrayBuffer} bytes */
export function fromHalf(bytes) {
  const halves = new Uint16Array(bytes);
  const numbers = new Float32Array(halves.length);
  halves.forEach((half, i) => {
    const [exponent, fraction] = [(half >> 10) & 31, half & 1023];
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024);
    numbers[i] = half & 0x8000 ? -size : size;
  });
  return numbers;
}

/** Red, green and blue of every pixel of an image file. */
async function pixelsOf(address) {
  const image = await createImageBitmap(await (await fetched(address)).blob());
  const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const { data } = context.getImageData(0, 0, image.width, image.height);
  return data.filter((_, i) => i % 4 !== 3);
}

/** Maps whose values an 8-bit image holds as shares of each map's range, for several images in turn. */
async function fromShares(files, beside) {
  const read = async ({ file, ranges }) => {
    const pixels = await pixelsOf(new URL(file, beside));
    const each = pixels.length / 3 / ranges.length;
    return Float32Array.from({ length: pixels.length / 3 }, (_, i) => {
      const [low, high] = ranges[Math.floor(i / each)];
      return low + ((high - low) * pixels[3 * i]) / 255;
    });
  };
  const parts = await Promise.all(files.map(read));
  const numbers = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((start, part) => (numbers.set(part, start), start + part.length), 0);
  return numbers;
}

const asView = ({ buffer, byteOffset, byteLength }) => new DataView(buffer, byteOffset, byteLength);

/** How a file becomes the bytes of a trait, by the name under which the JSON mentions it. */
const READERS = {
  $bytes: async (file, beside) => readBytes(new URL(file, beside)),
  $half: async (file, beside) => asView(fromHalf(await (await fetched(new URL(file, beside))).arrayBuffer())),
  $scaled: async (files, beside) => asView(await fromShares(files, beside)),
  $pixels: async (file, beside) => asView(await pixelsOf(new URL(file, beside))),
  $base64: async (text) => asView(Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))),
};

/** A state whose traits are read from the files that it mentions. @param {Object<string, any>} told @param {URL} beside */
export async function withBytes(told, beside) {
  const read = async ([name, value]) => {
    const how = value && typeof value === "object" ? Object.keys(READERS).find((key) => key in value) : null;
    return [name, how ? await READERS[how](value[how], beside) : value];
  };
  return Object.fromEntries(await Promise.all(Object.entries(told).map(read)));
}

/** The JSON at an address. @param {URL} address */
export const readJson = async (address) => (await fetched(address)).json();

/** The bytes of a file, as a model has them. @param {URL} address */
export const readBytes = async (address) => new DataView(await (await fetched(address)).arrayBuffer());

/** Hand the reader a file. */
export function offer(name, content) {
  const address = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
