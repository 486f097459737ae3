// One picture of the explorer, with the pointer and the keys on it.

import { mapOf, chance } from "./cam_data.js";
import { outline, paint, pixelsToCanvas } from "./cam_paint.js";
import { ARROWS, clamp, element, focusable, remember } from "./dom.js";
import { colourise, largestRegion, upsample } from "./maps.js";

/** One picture: the photograph with the evidence for one class, and the pointer and the keys on it. */
export class Picture {
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
    return [clamp(Math.floor(x), 0, W - 1), clamp(Math.floor(y), 0, H - 1)];
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
    canvas.addEventListener("keydown", (event) => {
      if (event.key === "Escape") view.commit({ pixel: null });
      if (!(event.key in ARROWS)) return;
      event.preventDefault();
      view.point(null);
      view.show({ pixel: this.step(ARROWS[event.key], event.shiftKey) });
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
  step(/** @type {number[]} */ [dx, dy], fine) {
    const { data: { H, W }, layer, state } = this.view;
    const [x, y] = state.pixel ?? [W >> 1, H >> 1];
    const stride = (n, cells) => (fine ? 1 : Math.max(1, Math.round(n / cells / 4)));
    return [clamp(x + dx * stride(W, layer.w), 0, W - 1), clamp(y + dy * stride(H, layer.h), 0, H - 1)];
  }
}
