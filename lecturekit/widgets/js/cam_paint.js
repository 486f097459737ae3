// How the explorer's picture is painted: photograph, evidence, outline, box and crosshair on one canvas.

const ORANGE = "#d55e00"; // boxes, as in lecturekit.plots
const DARK = "rgba(0, 0, 0, 0.75)";

/** Outline of a mask as a path along the edges of its pixels. */
export function outline(mask, H, W) {
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
export function pixelsToCanvas(rgba, H, W) {
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

/** Paint photograph, evidence, outline, box and crosshair on one canvas, sharp on any screen.
 *
 * A canvas that is hidden keeps what it has: it has no width now, and a picture of one pixel would be
 * stretched over it when it is seen again.
 */
export function paint(canvas, { photo, heat, smooth, opacity, region, contour, pixel }) {
  if (!canvas.clientWidth) return;
  const W = photo.width;
  const H = photo.height;
  const density = window.devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * density);
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
