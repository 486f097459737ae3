"""Small pictures with a blue disc or a green square, which a student learns in a moment, and their labels."""

import numpy as np
from PIL import Image

from lecturekit.labels import shapes

CLASSES = ["disc", "square"]
SIZE = (48, 64)


def painted(k):
    """Picture k and its mask: class 1, class 2, both, or (every tenth) nothing."""
    rng = np.random.default_rng(k)
    mask = np.zeros(SIZE, np.uint8)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    if k % 10 != 9:
        cy, cx, r = rng.integers(14, 34), rng.integers(14, 50), rng.integers(9, 13)
        if k % 3 != 1:
            mask[(y - cy) ** 2 + (x - cx) ** 2 < r * r] = 1
        if k % 3 != 0:
            cx = (cx + 32) % 64
            mask[(abs(y - cy) < r) & (abs(x - cx) < r)] = 2
    colours = np.array([(150, 110, 60), (40, 60, 200), (40, 180, 60)])
    noise = rng.normal(0, 20, (*SIZE, 3))
    return (colours[mask] + noise).clip(0, 255).astype(np.uint8), mask


def drawn(mask, kind, seconds=5):
    """Labels of one kind for a mask, as a person would draw them; the tag background for nothing."""
    about = {"milliseconds": 1000 * seconds, "points": []}
    labels = []
    for c in np.unique(mask[mask > 0]).tolist() or [3]:
        rows, columns = np.nonzero(mask == c)
        if c == 3:
            label = {"kind": "image_class"}
        elif kind == "mask":
            label = {"kind": "mask", "size": list(mask.shape), "counts": shapes.encode_rle(mask == c)}
        elif kind == "box":
            corners = [[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]]
            label = {"kind": "box", "points": np.array(corners, float).tolist()}
        elif kind == "scribble":
            middle = float(rows.mean())
            label = {"kind": "scribble", "width": 3.0}
            label["points"] = [[float(columns.min() + 3), middle], [float(columns.max() - 2), middle]]
        elif kind == "point":
            label = {"kind": "point", "points": [[float(columns.mean()), float(rows.mean())]]}
        else:
            label = {"kind": "image_class"}
        labels.append(about | {"id": f"{kind}{c}", "class_index": c} | label)
    if kind == "scribble":  # and one on the background, along the upper edge
        label = {"id": "ground", "kind": "scribble", "class_index": 3, "width": 3.0}
        labels.append(about | label | {"points": [[2.0, 1.0], [62.0, 1.0]]})
    return labels


def number(picture):
    """Which of `painted` a picture of the project is."""
    return int(picture.file.split(".")[0])


def folder_of(path, count):
    path.mkdir(parents=True)
    for k in range(count):
        Image.fromarray(painted(k)[0]).save(path / f"{k:02}.png")
    return path
