"""The annotator without a browser: what travels, what is kept on disk, how two tabs merge, and the still."""

import io
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support import still_of

from lecturekit.labels import label_file
from lecturekit.labels.label_file import file_name, merge
from lecturekit.plots import PALETTE
from lecturekit.widgets.annotator import Annotator, annotator_still

H, W = 40, 60
IMAGE = np.random.default_rng(5).integers(0, 256, (H, W, 3), np.uint8)
CLASSES = ("cat", "dog")
BOX = {
    "id": "a",
    "kind": "box",
    "class_index": 1,
    "points": [[2.0, 3.5], [30.0, 20.0]],
    "milliseconds": 900,
}
POINT = {"id": "b", "kind": "point", "class_index": 2, "points": [[7.25, 9.0]], "milliseconds": 400}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path))
    return tmp_path / "annotations"


def annotator(**changes):
    return Annotator(**{"image": IMAGE, "classes": CLASSES, "key": "k"} | changes)


def record(label, edit=1, by="v1"):
    return {"id": label["id"], "edit": edit, "by": by, "label": label}


def gone(name, edit, by="v1"):
    return {"id": name, "edit": edit, "by": by, "label": None}


def draw(widget, *records):
    """What the browser does at the end of a gesture: it sends its records beside those it knows."""
    widget.set_state({"_records": json.loads(json.dumps(merge(widget._records, records)))})


# ------------------------------------------------------------------------------------------- what travels


def test_picture_travels_once_and_exactly():
    state = annotator().get_state()
    assert state["_size"] == [H, W]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(state["_image"]))), IMAGE)
    assert "labels" not in state


def test_a_large_picture_travels_as_jpeg():
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    sent = Image.open(io.BytesIO(annotator(image=noise).get_state()["_image"]))
    assert sent.format == "JPEG"
    assert sent.size == (800, 800)


def test_classes_have_the_colours_of_the_plots():
    names = [f"class {k}" for k in range(1, 10)]
    state = annotator(classes=names).get_state()
    assert state["_classes"][:7] == [[name, PALETTE[k]] for k, name in enumerate(names[:7], 1)]
    assert state["_classes"][7] == ["class 8", PALETTE[1]]


def test_kinds_choose_the_tools():
    assert annotator(kinds=["mask", "box"])._tools == ["select", "box", "brush", "eraser", "pan"]
    assert annotator(kinds=["mask", "box"]).tool == "box"
    only = annotator(kinds="image_class")
    assert (only._tools, only._ticks, only.tool) == (["select", "pan"], True, "select")
    everything = annotator()
    assert {"point", "scribble", "box", "extreme", "polygon", "brush"} < set(everything._tools)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"image": IMAGE / 255}, ValueError, "image must be uint8 RGB .* got float64"),
        ({"image": IMAGE[0]}, ValueError, "image must be uint8 RGB"),
        ({"image": "photo.png"}, TypeError, "image must be .* got str"),
        ({"classes": []}, ValueError, "classes must be 1 to 254 names"),
        ({"classes": "cat"}, ValueError, "classes must be"),
        ({"classes": ["cat", "cat"]}, ValueError, "classes must differ"),
        ({"classes": ["cat", 3]}, ValueError, "classes must be"),
        ({"kinds": ["box", "sphere"]}, ValueError, "kinds must be .* got .*sphere"),
        ({"kinds": []}, ValueError, "kinds must be one or more"),
        ({"labels": [BOX | {"class_index": 3}]}, ValueError, "class_index must be"),
        ({"labels": [BOX, BOX]}, ValueError, "labels must have an id each, got 'a' more than once"),
        ({"key": 7}, TypeError, "key must be a text"),
        ({"key": "  "}, ValueError, "key must be a text of 1 to 200"),
        ({"key": "x" * 201}, ValueError, "key must be a text of 1 to 200"),
    ],
)
def test_bad_arguments_are_named(changes, error, words, folder):
    with pytest.raises(error, match=words):
        annotator(**changes)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("name", "value"), [("tool", "laser"), ("class_index", 0), ("class_index", 3), ("width", 0.0)]
)
def test_attributes_that_do_not_exist_are_refused(name, value):
    widget = annotator()
    before = getattr(widget, name)
    with pytest.raises(ValueError, match=name):
        setattr(widget, name, value)
    assert getattr(widget, name) == before


# ---------------------------------------------------------------------------------------- what is drawn


def test_labels_that_are_drawn_can_be_read_and_observed():
    widget, seen = annotator(), []
    widget.observe(lambda change: seen.append(change["new"]), "labels")
    draw(widget, record(BOX))
    draw(widget, record(POINT, 2))
    assert widget.labels == [BOX, POINT]
    assert seen == [[BOX], [BOX, POINT]]
    assert widget.shapes("point") == [POINT]
    assert widget.shapes("mask") == []
    with pytest.raises(ValueError, match="kind must be"):
        widget.shapes("circle")


def test_browser_hears_that_its_labels_are_on_disk():
    widget = annotator()
    draw(widget, record(BOX, 3, "v7"))
    assert widget._saved == {"a": [3, "v7"]}
    assert widget._note == ""


def test_every_label_is_on_disk_at_once():
    widget = annotator()
    assert not widget.saved.exists()
    draw(widget, record(BOX))
    content = json.loads(widget.saved.read_text())
    assert [r["label"] for r in content["records"]] == [BOX]
    assert content["classes"] == list(CLASSES)
    assert content["size"] == [H, W]
    draw(widget, gone("a", 2))
    assert [r["label"] for r in json.loads(widget.saved.read_text())["records"]] == [None]


def test_restart_of_the_kernel_brings_everything_back():
    first = annotator()
    draw(first, record(BOX), record(POINT))
    draw(first, gone("b", 2))
    again = annotator()
    assert again.labels == [BOX]
    draw(again, record(POINT | {"id": "c"}, 3))
    assert annotator().labels == [BOX, POINT | {"id": "c"}]


def test_default_key_is_that_of_picture_and_classes():
    first = annotator(key=None)
    draw(first, record(BOX))
    assert annotator(key=None).labels == [BOX]
    assert annotator(key=None, image=IMAGE[::-1]).labels == []
    assert annotator(key=None, classes=["cow", "dog"]).labels == []


def test_labels_from_python_are_saved_and_sent():
    widget = annotator()
    draw(widget, record(BOX, 5), record(POINT, 6))
    widget.labels = [POINT, BOX | {"id": "c"}]
    assert annotator().labels == [POINT, BOX | {"id": "c"}]
    sent = {r["id"]: r for r in widget._records}
    assert sent["a"]["label"] is None
    assert sent["a"]["edit"] == 7
    with pytest.raises(ValueError, match="points"):
        widget.labels = [BOX | {"points": []}]
    assert len(widget.labels) == 2


def test_given_labels_yield_to_what_the_reader_did():
    widget = annotator(labels=[BOX, POINT])
    assert widget.labels == [BOX, POINT]
    assert not widget.saved.exists()
    draw(widget, gone("a", 1), record(POINT | {"points": [[1.0, 1.0]]}, 2))
    assert annotator(labels=[BOX, POINT]).labels == [POINT | {"points": [[1.0, 1.0]]}]
    assert annotator().labels == [POINT | {"points": [[1.0, 1.0]]}]


BAD_RECORDS = {
    "outside": record(BOX | {"points": [[0, 0], [W + 1, 5]]}),
    "nan": record(POINT | {"points": [[float("nan"), 0]]}),
    "class": record(BOX | {"class_index": 9}),
    "other id": record(BOX | {"id": "z"}) | {"id": "a"},
    "edit": record(BOX) | {"edit": -1},
    "huge edit": record(BOX) | {"edit": 2**60},
    "true edit": record(BOX) | {"edit": True},
    "writer": record(BOX) | {"by": "../x"},
    "no dict": "box",
    "list id": record(BOX) | {"id": ["a"]},
    "long id": record(BOX | {"id": "x" * 65}),
    "mask": record({"id": "m", "kind": "mask", "class_index": 1, "size": [H, W], "counts": [7]}),
}


@pytest.mark.parametrize("bad", BAD_RECORDS.values(), ids=BAD_RECORDS)
def test_bad_labels_from_the_browser_are_refused_and_the_good_ones_kept(bad):
    widget = annotator()
    good = POINT | {"id": "good"}
    widget.set_state({"_records": [bad, record(good, 4)]})
    assert widget.labels == [good]
    assert widget._note.startswith("A label was refused: ")
    assert annotator().labels == [good]
    draw(widget, record(BOX | {"id": "next"}, 9))
    assert widget._note == ""
    assert widget.labels == [good, BOX | {"id": "next"}]


def test_a_bad_edit_leaves_the_label_as_it_was():
    widget = annotator()
    draw(widget, record(BOX))
    draw(widget, record(BOX | {"points": [[5, 5], [5, 5]]}, 2))
    assert widget.labels == [BOX]
    assert widget._records[0]["edit"] == 3  # so that the browser takes it back, too


# ------------------------------------------------------------------------------------------------- merging


RECORDS = st.lists(
    st.builds(
        lambda name, edit, by: {"id": name, "edit": edit, "by": by, "label": f"{name}{edit}{by}"},
        st.sampled_from("abc"),
        st.integers(0, 4),
        st.sampled_from(["v1", "v2"]),
    ),
    max_size=6,
)


def by_name(records):
    return {r["id"]: r for r in records}


@given(RECORDS, RECORDS, RECORDS)
def test_records_merge_to_the_same_in_any_order(a, b, c):
    one = by_name(merge(merge(a, b), c))
    assert one == by_name(merge(c, merge(b, a)))
    assert one == by_name(merge(a, b, c, a, b))
    for name, kept in one.items():
        met = [r for r in [*a, *b, *c] if r["id"] == name]
        assert (kept["edit"], kept["by"]) == max((r["edit"], r["by"]) for r in met)


def test_two_tabs_add_to_each_other():
    first, second = annotator(), annotator()
    draw(first, record(BOX))
    draw(second, record(POINT, 1, "v2"))
    assert second.labels == [POINT, BOX]
    assert first.labels == [BOX]
    draw(first, record(BOX | {"id": "c"}, 2))
    assert first.labels == [BOX, BOX | {"id": "c"}, POINT]
    assert sorted(label["id"] for label in annotator().labels) == ["a", "b", "c"]


def test_what_one_tab_deletes_does_not_come_back_from_the_other():
    first, second = annotator(), annotator()
    draw(first, record(BOX))
    draw(second, record(POINT, 1, "v2"))
    draw(first, gone("a", 2))
    draw(second, record(POINT | {"id": "c"}, 3, "v2"))
    assert second.labels == [POINT, POINT | {"id": "c"}]


def test_last_edit_of_a_label_wins():
    first, second = annotator(), annotator()
    draw(first, record(BOX))
    draw(second, record(BOX | {"class_index": 2}, 2, "v2"))
    assert second.labels[0]["class_index"] == 2
    draw(first, record(POINT, 2))
    assert first.labels == [BOX | {"class_index": 2}, POINT]


def test_four_at_once_lose_nothing():
    def scribble_away(writer):
        widget = annotator()
        for n in range(10):
            draw(widget, record(POINT | {"id": f"{writer}-{n}"}, n + 1, writer))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(scribble_away, ["v0", "v1", "v2", "v3"]))
    assert len(annotator().labels) == 40


# ---------------------------------------------------------------------------------------- files and keys


def test_key_that_names_another_picture_or_other_classes_is_refused():
    draw(annotator(), record(BOX))
    with pytest.raises(ValueError, match=r"key must be new .* 'k' already names labels"):
        annotator(image=IMAGE[::-1].copy())
    with pytest.raises(ValueError, match="'cat', 'dog'"):
        annotator(classes=["dog", "cat"])
    assert annotator(classes=[*CLASSES, "cow"]).labels == [BOX]


@given(st.text(min_size=1, max_size=200).filter(str.strip))
def test_every_key_is_a_plain_name_of_a_file(key):
    name = file_name(key)
    assert name.endswith(".json")
    assert set(name[:-5]) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
    assert len(name) < 110
    assert name[0] not in ".-"
    assert name.split(".")[0].lower() not in label_file._DEVICES


def test_keys_never_leave_the_folder_and_never_meet(folder):
    keys = ["../up", "..", "/etc/passwd", "C:\\x", "a/b", "a-b", "con", ".hidden", "a\0b", "Straße", "a b"]
    for n, key in enumerate(keys):
        draw(annotator(key=key), record(POINT | {"id": f"l{n}"}))
    assert [annotator(key=key).labels[0]["id"] for key in keys] == [f"l{n}" for n in range(len(keys))]
    assert len(list(folder.glob("*.json"))) == len(keys)
    assert {p.name for p in folder.parent.iterdir()} == {"annotations"}


DAMAGED = {
    "half": '{"key": "k", "rec',
    "empty": "",
    "list": "[]",
    "null": "null",
    "no records": '{"key": "k"}',
    "deep": "[" * 100_000,
    "bytes": b"\xff\xfe\x00",
}


@pytest.mark.filterwarnings("ignore:.*could not be read")
@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_file_that_cannot_be_read_is_set_aside_and_reported(content, folder):
    folder.mkdir(parents=True)
    damaged = content if isinstance(content, bytes) else content.encode()
    (folder / "k.json").write_bytes(damaged)
    widget = annotator()
    assert widget.labels == []
    assert "k.json could not be read" in widget._note
    draw(widget, record(BOX))
    assert (folder / "k.damaged-1.json").read_bytes() == damaged
    assert annotator().labels == [BOX]


@pytest.mark.filterwarnings("ignore:.*could not be read")
def test_one_bad_label_in_the_file_does_not_take_the_others_along(folder):
    draw(annotator(), record(BOX), record(POINT))
    content = json.loads((folder / "k.json").read_text())
    content["records"][0]["label"]["points"] = "here"
    (folder / "k.json").write_text(json.dumps(content))
    widget = annotator()
    assert widget.labels == [POINT]
    assert "could not be read as it was" in widget._note
    assert json.loads((folder / "k.damaged-1.json").read_text()) == content
    assert annotator().labels == [POINT]
    assert annotator()._note == ""


def test_damage_while_the_widget_is_open_loses_nothing(folder):
    widget = annotator()
    draw(widget, record(BOX))
    (folder / "k.json").write_text("{")
    with pytest.warns(UserWarning, match="kept as k.damaged-1.json"):
        draw(widget, record(POINT, 2))
    assert "could not be read" in widget._note
    assert annotator().labels == [BOX, POINT]


def test_a_full_disk_is_reported_and_the_next_label_tries_again(monkeypatch):
    widget = annotator()

    def full(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(label_file.records, "write", full)
        draw(widget, record(BOX))
        assert widget.labels == [BOX]
        assert "could not be saved (No space left on device)" in widget._note
        assert widget._saved == {}
    draw(widget, record(POINT, 2))
    assert widget._note == ""
    assert set(widget._saved) == {"a", "b"}
    assert annotator().labels == [BOX, POINT]


def test_a_folder_that_cannot_be_made_is_reported(folder):
    folder.write_text("a file where the folder should be")
    widget = annotator()
    draw(widget, record(BOX))
    assert widget.labels == [BOX]
    assert "could not be saved" in widget._note
    assert str(folder.parent) not in widget._note


# ------------------------------------------------------------------------------------------------ the still

MASK = {
    "id": "m",
    "kind": "mask",
    "class_index": 2,
    "points": [],
    "size": [H, W],
    "counts": [10, 5, H * W - 15],
    "milliseconds": 1,
}
ALL = [
    BOX,
    POINT,
    {"id": "c", "kind": "image_class", "class_index": 1, "points": [], "milliseconds": 5},
    {
        "id": "d",
        "kind": "scribble",
        "class_index": 1,
        "points": [[5, 5], [40, 30]],
        "width": 4,
        "milliseconds": 5,
    },
    {
        "id": "e",
        "kind": "extreme",
        "class_index": 2,
        "points": [[5, 9], [9, 2], [20, 8], [11, 30]],
        "milliseconds": 1,
    },
    {
        "id": "f",
        "kind": "polygon",
        "class_index": 2,
        "points": [[30, 9], [50, 12], [40, 33]],
        "milliseconds": 1,
    },
    MASK,
]


@pytest.mark.parametrize(
    "label", [label for label in ALL if label["kind"] != "image_class"], ids=lambda label: label["kind"]
)
def test_still_shows_each_kind_of_label(label):
    empty, one = (np.asarray(annotator_still(IMAGE, CLASSES, labels), int) for labels in ([], [label]))
    left = slice(0, int(empty.shape[1] * 0.6))
    assert np.abs(one[:, left] - empty[:, left]).max() > 60


def test_page_without_a_kernel_has_the_still_and_its_words():
    widget = annotator(labels=ALL)
    data, _ = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert still_of(data).width > 300
    assert len(data["text/html"]) < 150_000
    alt = data["text/html"].removeprefix('<img alt="')
    assert alt.startswith("A picture of 60 × 40 pixels to draw labels on: 1 box of cat; 1 point of dog; ")
    assert data["text/plain"] == "Annotator, 7 labels: run this cell to draw"
    assert str(widget.saved) not in json.dumps([alt, data["text/plain"]])
    assert 'nothing drawn yet." width' in annotator()._repr_mimebundle_()[0]["text/html"]
