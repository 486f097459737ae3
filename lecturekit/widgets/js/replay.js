// A label once more, as it was drawn, beside the truth.

import { bytesOf, clamp, element, listen } from "./dom.js";
import { bounds } from "./geometry.js";
import { drawLabel } from "./ink.js";

const LONGEST = 4000; // milliseconds of a replay

/** A label as it stood when `share` of its time was over. */
export function partly(label, share) {
  const { kind, points } = label;
  if (kind === "box") {
    const [x0, y0, x1, y1] = bounds(points);
    return { ...label, points: [[x0, y0], [x0 + share * (x1 - x0), y0 + share * (y1 - y0)]] };
  }
  return { ...label, points: points.slice(0, clamp(Math.ceil(share * points.length), 1, points.length)) };
}

/** Two pictures: the label grows on one as it was drawn; on the other lies the truth. */
class Replay {
  constructor() {
    this.mine = element("canvas", { role: "img" });
    this.truth = element("canvas", { role: "img" });
    this.captions = [element("figcaption"), element("figcaption", {}, "The object's own pixels")];
    this.root = element("div", { className: "lk-replay", hidden: true },
      element("figure", {}, this.mine, this.captions[0]), element("figure", {}, this.truth, this.captions[1]));
  }

  /** Begin a replay, or with nothing in `told` show none. */
  async show(told, bytes) {
    this.stop();
    this.root.hidden = !told.label;
    if (!told.label) return;
    const turn = (this.turn = {}); // a later call makes this one void
    const photo = await createImageBitmap(new Blob([bytesOf(bytes)]));
    if (turn !== this.turn) return;
    this.captions[0].textContent = told.words;
    this.mine.setAttribute("aria-label", `Your label. ${told.words}`);
    this.truth.setAttribute("aria-label", "The object, outlined");
    for (const canvas of [this.mine, this.truth]) Object.assign(canvas, { width: 2 * photo.width, height: 2 * photo.height });
    const outlines = told.truth.map((points) => ({ kind: "polygon", points }));
    this.paint(this.truth, photo, outlines, told.colour);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const length = still ? 0 : Math.min(LONGEST, told.label.milliseconds);
    const start = performance.now();
    const frame = () => {
      const share = length ? clamp((performance.now() - start) / length, 0, 1) : 1;
      const label = share < 1 ? partly(told.label, share) : told.label;
      this.paint(this.mine, photo, [label], told.colour, share < 1);
      this.mine.dataset.share = share.toFixed(2);
      if (share < 1) this.frame = requestAnimationFrame(frame);
    };
    frame();
  }

  paint(canvas, photo, labels, colour, open = false) {
    const context = canvas.getContext("2d");
    context.drawImage(photo, 0, 0, canvas.width, canvas.height);
    for (const label of labels) drawLabel(context, ([x, y]) => [2 * x, 2 * y], 2, label, colour, open);
  }

  stop() {
    this.turn = null;
    cancelAnimationFrame(this.frame);
  }
}

function render({ model, el }) {
  const replay = new Replay();
  const tell = () => replay.show(model.get("_told"), model.get("_photo"));
  const unlisten = listen(model, { "change:_told": tell });
  el.classList.add("lk-theme");
  el.append(replay.root);
  tell();
  return () => {
    unlisten();
    replay.stop();
  };
}

export default { render };
