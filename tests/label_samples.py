"""Labels to write and read: one of every kind, any at all, and what a reader may give back."""

import json
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from lecturekit.labels import shapes
from lecturekit.labels.interchange import Labelled

NAMES = ("star", "Vogel & <Söhne>", "ring road")
HEIGHT, WIDTH = SIZE = (12, 16)


def label(kind, points=(), index=1, **more):
    about = {"id": f"{kind}-1", "kind": kind, "class_index": index, "points": [list(p) for p in points]}
    return about | {"milliseconds": 1234} | more


EVERY_KIND = (
    label("image_class", index=2),
    label("point", [(1.25, 2.5)]),
    label("scribble", [(1.0, 2.0), (3.5, 2.0)], width=3.0),
    label("box", [(0.1, 0.2), (5.7, 9.9)], index=3),
    label("extreme", [(2.0, 5.0), (6.0, 1.0), (9.5, 4.0), (5.0, 11.0)]),
    label("polygon", [(1.1, 1.0), (9.0, 1.3), (4.0, 8.0)], index=2),
    label("mask", size=[12, 16], counts=[13, 40, 139]),
    label("mask", size=[12, 16], counts=[192], id="empty"),
)


@st.composite
def labels(draw):
    kind = draw(st.sampled_from(list(shapes.KINDS)))
    x, y = st.floats(0, WIDTH), st.floats(0, HEIGHT)
    least, most = shapes.KINDS[kind]
    points = draw(st.lists(st.tuples(x, y), min_size=least, max_size=min(most, 6)))
    more = {}
    if kind in ("box", "extreme"):
        low, high = np.min(points, 0), np.max(points, 0)
        low = np.minimum(low, [WIDTH - 1, HEIGHT - 1])
        points = [low.tolist(), np.maximum(high, low + 0.3).tolist()] * (1 if kind == "box" else 2)
    if kind == "scribble":
        more["width"] = draw(st.floats(0.5, 20))
    if kind == "mask":
        mask = np.random.default_rng(draw(st.integers(0, 99))).random(SIZE) < draw(st.floats(0, 1))
        more |= {"size": list(SIZE), "counts": shapes.encode_rle(mask)}
    ids, times = st.text("abcXYZ019-é", min_size=1, max_size=9), st.integers(0, 2**53 - 1)
    found = label(kind, points, draw(st.integers(1, 3)), id=draw(ids), **more) | {"milliseconds": draw(times)}
    return shapes.checked(found, SIZE, 3)


def pictures(most=3):
    several = st.lists(st.lists(labels(), max_size=4), max_size=most)
    return several.map(lambda found: [Labelled(f"p/{k}.jpg", SIZE, tuple(x)) for k, x in enumerate(found)])


def sorted_labels(picture):
    return sorted(json.dumps(x, sort_keys=True) for x in picture.labels)


def same(one, other):
    """Whether pictures and their labels are the same, their order among the labels of a picture aside."""
    about = [[(p.file_name, p.size, sorted_labels(p)) for p in found] for found in (one, other)]
    return about[0] == about[1]


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just(10**400)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner)),
    max_leaves=8,
)


def assert_clean(pictures, names):
    """What was read is what a checked label is, and nothing else: it can be checked again and drawn."""
    for picture in pictures:
        assert not Path(picture.file_name).is_absolute()
        assert ".." not in Path(picture.file_name).parts
        for label in picture.labels:
            assert shapes.checked(label, picture.size, len(names)) == label
            assert shapes.rasterise(label, picture.size).shape == tuple(picture.size)
