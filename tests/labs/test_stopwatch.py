"""The stopwatch lab: measures against the truth, files without names, a class with bad files among them."""

import base64
import io
import json
import math
import os
import re
import tempfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from PIL import Image
from scipy import ndimage

from lecturekit.datasets.scenes import strokes
from lecturekit.labels import costs
from lecturekit.labs import stopwatch
from lecturekit.labs.simulated import demo_class, demo_labels
from lecturekit.labs.stopwatch import (
    FIRST_ROUND,
    KINDS,
    LITERATURE,
    LONGEST,
    Measure,
    Record,
    class_figure,
    export,
    figure,
    measure,
    measures,
    merge_class,
    read_record,
    steps,
    summary,
    tasks,
    write_record,
)
from lecturekit.widgets.stopwatch_lab import StopwatchLab

WHO, OTHER = "0123456789abcdef", "fedcba9876543210"


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def label(kind, points=(), task=None, **more):
    index = task.class_index if task else 1
    return {
        "id": kind,
        "kind": kind,
        "class_index": index,
        "points": [list(map(float, p)) for p in points],
        "milliseconds": 2500,
    } | more


def some(*seconds, kind="point"):
    return [Measure(kind, k, s, 0.25, 0.5) for k, s in enumerate(seconds)]


# ------------------------------------------------------------------ pictures


def test_in_each_picture_one_object_is_meant_and_no_other_can_be():
    assert len(tasks()) == 10
    for task in tasks():
        assert task.image.shape == (320, 320, 3)
        x0, y0, x1, y1 = task.box
        inside = task.mask[y0:y1, x0:x1]
        assert inside.sum() == task.mask.sum()
        assert inside.any(0).all()
        assert 0.02 < task.mask.mean() < 0.3
        assert min(x0, y0, 320 - x1, 320 - y1) >= 2  # whole in the picture
        parts, many = ndimage.label(task.mask, np.ones((3, 3)))
        assert np.bincount(parts.ravel())[1:].max() > 0.99 * task.mask.sum()
        assert many <= 2
        assert task.class_index in task.present
        assert all(task.name in task.prompt(kind) for kind in KINDS if kind != "image_class")
    assert len({task.class_index for task in tasks()}) >= 5


def test_every_kind_meets_every_picture_and_the_first_round_has_three_of_each():
    order = steps()
    assert len(order) == len(set(order)) == len(KINDS) * 10
    first = [kind for kind, _ in order[:FIRST_ROUND]]
    assert {kind: first.count(kind) for kind in KINDS} == dict.fromkeys(KINDS, 3)
    pictures = [n for _, n in order[:FIRST_ROUND]]
    assert max(map(pictures.count, pictures)) <= 2


# ------------------------------------------------------------------ measures


def test_the_truth_as_a_box_fits_and_says_as_much_about_pixels_as_the_box_is_filled():
    task = tasks()[1]
    x0, y0, x1, y1 = task.box
    fill = task.mask.sum() / ((x1 - x0) * (y1 - y0))
    box = label("box", [(x0, y0), (x1, y1)], task)
    found = measure("box", task, [box])
    assert (found.seconds, found.fit) == (2.5, 1)
    assert found.iou == pytest.approx(fill)
    half = label("box", [(x0, y0), (x1, (y0 + y1) / 2)], task)
    assert measure("box", task, [half]).fit == pytest.approx(0.5)
    clicks = [(x0, y0 + 1), (x0 + 1, y0), (x1, y0 + 1), (x0 + 1, y1)]
    assert measure("extreme", task, [label("extreme", clicks, task)]).fit == 1


def test_clicks_strokes_and_outlines():
    task = tasks()[1]
    x, y = strokes.deepest(task.mask)
    assert measure("point", task, [label("point", [(x + 0.5, y + 0.5)], task)]).fit == 1
    assert measure("point", task, [label("point", [(0.5, 0.5)], task)]).fit == 0
    stroke = label("scribble", [(x, y), (0, 0)], task, width=1.0)
    assert 0 < measure("scribble", task, [stroke]).fit < 1
    triangle = label("polygon", [(x, y), (x + 9, y), (x, y + 9)], task)
    found = measure("polygon", task, [triangle])
    marked = stopwatch.shapes.rasterise(triangle, task.size)
    assert found.iou == found.fit == pytest.approx((marked & task.mask).sum() / (marked | task.mask).sum())


def test_a_label_of_the_wrong_class_fits_nothing():
    task = tasks()[1]
    wrong = label(
        "box", [(task.box[0], task.box[1]), (task.box[2], task.box[3])], class_index=1 + task.class_index % 7
    )
    assert measure("box", task, [wrong]).fit == 0


def test_image_classes_count_together():
    task = next(t for t in tasks() if len(t.present) == 2)
    one, two = sorted(task.present)
    ticks = [label("image_class", id=f"class-{c}", class_index=c) for c in (one, two)]
    assert measure("image_class", task, ticks) == Measure("image_class", task.number, 5.0, 0.0, 1.0)
    assert measure("image_class", task, ticks[:1]).fit == 0.5
    other = next(c for c in range(1, 8) if c not in task.present)
    wrong = label("image_class", id="class-x", class_index=other)
    assert measure("image_class", task, [*ticks, wrong]).fit == pytest.approx(2 / 3)


def test_the_last_label_counts_and_the_time_of_all():
    task = tasks()[1]
    first, last = label("point", [(0, 0)], task), label("point", [(160, 160)], task, id="b", milliseconds=500)
    x, y = strokes.deepest(task.mask)
    last["points"] = [[x + 0.5, y + 0.5]]
    found = measure("point", task, [first, last, label("box", [(1, 1), (2, 2)], task)])
    assert (found.seconds, found.fit) == (3, 1)


@pytest.mark.parametrize("milliseconds", [0, int(LONGEST * 1000) + 1])
def test_labels_without_a_sensible_time_are_left_out(milliseconds):
    assert measure("point", tasks()[0], [label("point", [(1, 1)], milliseconds=milliseconds)]) is None
    assert measure("point", tasks()[0], []) is None
    assert measures({("point", 0): []}) == []


def test_summary_is_of_medians():
    found = summary([*some(1.0, 2.0, 9.0), *some(4.0, kind="box")])
    assert list(found) == ["point", "box"]
    assert (found["point"].count, found["point"].seconds, found["point"].quartiles) == (3, 2, (1.5, 5.5))
    assert summary([]) == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "mask"}, "kind must be one of"),
        ({"picture": 10}, "picture must be"),
        ({"picture": True}, "picture must be"),
        ({"seconds": 0}, "seconds must be"),
        ({"seconds": math.nan}, "seconds must be"),
        ({"seconds": LONGEST + 1}, "seconds must be"),
        ({"iou": 1.1}, "iou must be"),
        ({"fit": "1"}, "fit must be"),
        ({"fit": 10**400}, "fit must be.*huge"),
    ],
)
def test_measures_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Measure(**({"kind": "box", "picture": 1, "seconds": 1.0, "iou": 0.5, "fit": 0.5} | change))


# ------------------------------------------------------------------ files


def test_an_export_has_no_name_and_comes_back(data):
    path = export(some(1.23, 45.678))
    content = json.loads(path.read_text())
    assert path.parent == data / "stopwatch"
    assert set(content) == {"format", "version", "who", "simulated", "measures"}
    assert set(content["measures"][0]) == {"kind", "picture", "seconds", "iou", "fit"}
    assert [m.seconds for m in read_record(path).measures] == [1.2, 45.7]
    again = export(some(1.0, 2.0, 3.0))
    assert again == path  # the same random name
    assert len(list(path.parent.glob("*.json"))) == 1
    with pytest.raises(ValueError, match="at least one"):
        export([])


def test_random_names_differ_and_simulated_files_keep_theirs_apart(tmp_path):
    names = {export(some(1.0), tmp_path / str(k)).name for k in range(5)}
    assert len(names) == 5
    one, two = export(some(1.0), tmp_path), export(some(1.0), tmp_path, simulated=True)
    assert one != two
    assert not read_record(one).simulated
    assert read_record(two).simulated


@given(
    st.lists(
        st.builds(
            Measure,
            st.sampled_from(list(KINDS)),
            st.integers(0, 9),
            st.floats(0.1, LONGEST),
            st.floats(0, 1),
            st.floats(0, 1),
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda m: (m.kind, m.picture),
    )
)
def test_records_come_back_but_for_rounding(found):
    with tempfile.TemporaryDirectory() as folder:
        back = read_record(write_record(Record(WHO, tuple(found)), folder))
    assert [(m.kind, m.picture) for m in back.measures] == [(m.kind, m.picture) for m in found]
    for m, n in zip(back.measures, found, strict=True):
        assert abs(m.seconds - n.seconds) <= 0.0501
        assert abs(m.iou - n.iou) <= 0.000501


def raw(path, **change):
    """A file that is in order but for `change`; a value None is left out."""
    entry = {"kind": "box", "picture": 1, "seconds": 3, "iou": 0.5, "fit": 0.9}
    content = {"format": "lecturekit stopwatch", "version": 1, "who": OTHER, "simulated": False} | {
        "measures": [entry]
    }
    content |= change
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    return path


def test_a_class_of_files_good_and_bad(tmp_path):
    write_record(Record(WHO, tuple(some(2.0, 4.0))), tmp_path)
    raw(tmp_path / "b.json")
    (tmp_path / "again.json").write_bytes((tmp_path / f"stopwatch-{WHO}.json").read_bytes())
    write_record(Record("0" * 16, tuple(some(9.0)), simulated=True), tmp_path)
    bad = {
        "nothing.json": (b"", "no sound JSON"),
        "list.json": (b"[]", "no export"),
        "other.json": (b'{"format": "geojson"}', "no export"),
        "deep.json": (b"[" * 99_999, "deep"),
        "nan.json": (b'{"seconds": NaN}', "finite"),
        "binary.json": (bytes(range(256)), "no sound JSON"),
        "large.json": (b" " * 200_001, "at most 200000 bytes"),
    }
    for name, (content, _) in bad.items():
        (tmp_path / name).write_bytes(content)
    changes = {
        "who.json": ({"who": "../../x"}, "who must be"),
        "nobody.json": ({"who": None}, "who must be"),
        "list2.json": ({"measures": {}}, "measures must be a list"),
        "none.json": ({"measures": []}, "measures must be a list"),
        "many.json": ({"measures": [1] * 1001}, "1 to 1000"),
        "entry.json": ({"measures": [1]}, "a measure must have"),
        "word.json": (
            {"measures": [{"kind": [], "picture": 1, "seconds": 1, "iou": 1, "fit": 1}]},
            "kind must",
        ),
        "flag.json": ({"simulated": "no"}, "true or false"),
        "unmarked.json": ({"simulated": None}, "true or false"),
    }
    for name, (change, _) in changes.items():
        raw(tmp_path / name, **change)
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "notes.txt").write_text("no file of ours")

    result = merge_class(tmp_path)
    assert {record.who for record in result.people} == {WHO, OTHER}
    for name, (_, why) in (bad | changes).items():
        assert why in result.refused[name]
    assert "ordinary file" in result.refused["folder.json"]
    assert "same person" in result.refused[f"stopwatch-{WHO}.json"]
    assert "simulated" in result.refused[f"stopwatch-{'0' * 16}.json"]
    assert len(result.refused) == len(bad) + len(changes) + 3
    assert not result.simulated
    assert result.medians("point").tolist() == [3]
    assert result.medians("box", "fit").tolist() == [0.9]
    assert result.medians("polygon").tolist() == []
    assert "not used: nan.json" in str(result)


def test_of_one_persons_files_the_fullest_counts(tmp_path):
    raw(tmp_path / "a.json", who=WHO)
    write_record(Record(WHO, tuple(some(2.0, 4.0))), tmp_path)
    result = merge_class(tmp_path)
    assert len(result.people) == 1
    assert len(result.people[0].measures) == 2
    assert "which has more" in result.refused["a.json"]


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="needs links")
def test_links_are_not_followed(tmp_path):
    (tmp_path / "class").mkdir()
    raw(tmp_path / "secret.json")
    (tmp_path / "class/x.json").symlink_to(tmp_path / "secret.json")
    result = merge_class(tmp_path / "class")
    assert result.people == ()
    assert "ordinary file" in result.refused["x.json"]


def test_folders_that_are_none(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="everyone's files"):
        merge_class(tmp_path / "none")
    assert merge_class(tmp_path).people == ()
    monkeypatch.setattr(stopwatch, "_MAX_FILES", 1)
    for name in "ab":
        raw(tmp_path / f"{name}.json")
    with pytest.raises(ValueError, match="at most 1 files"):
        merge_class(tmp_path)


# ------------------------------------------------------------------ what nobody drew


def test_simulated_labels_are_sound_seeded_and_called_simulated():
    labels = demo_labels(3, pictures=2)
    assert labels == demo_labels(3, pictures=2) != demo_labels(4, pictures=2)
    assert set(labels) == {(kind, n) for kind in KINDS for n in (0, 1)}
    found = summary(measures(labels))
    assert all(label["id"].startswith(("simulated", "class-")) for ls in labels.values() for label in ls)
    assert set(found) == set(KINDS)
    assert found["box"].fit > 0.8
    assert found["polygon"].iou > found["box"].iou > found["scribble"].iou > found["point"].iou


def test_a_simulated_class_is_marked_in_files_words_and_figure(tmp_path):
    demo_class(tmp_path, people=3, pictures=1)
    assert merge_class(tmp_path).people == ()
    result = merge_class(tmp_path, simulated=True)
    assert len(result.people) == 3
    assert result.simulated
    assert "SIMULATED" in str(result)
    drawn = class_figure(result)
    assert "SIMULATED" in drawn.get_suptitle()
    plt.close(drawn)


def test_the_literature_beside_you_measured_the_same_act():
    for kind, keys in LITERATURE.items():
        units = {costs.COSTS[key].per for key in keys}
        assert units == {"image" if kind == "image_class" else "object"}
    assert [k for k, keys in LITERATURE.items() if costs.COSTS[keys[0]].assumed] == ["scribble"]


def test_figure_shows_each_label_and_each_source():
    drawn = figure([*some(1.0, 2.0), *some(4.0, kind="box")])
    dots = [line.get_xdata().tolist() for line in drawn.axes[0].lines if line.get_gid() == "people"]
    assert dots == [[1, 2], [4]]
    marks = [line for line in drawn.axes[0].lines if line.get_marker() == "D"]
    assert len(marks) == sum(map(len, LITERATURE.values()))
    assert "point 2 s" in stopwatch.alt_text(some(1.0, 2.0, 3.0))
    plt.close(drawn)
    plt.close(figure([]))


# ------------------------------------------------------------------ the widget, without a browser


def test_the_lab_walks_the_steps_and_keeps_the_labels(data):
    lab, drawn = StopwatchLab(), demo_labels(pictures=10)
    assert (lab.at, lab.labels, lab.measures) == (-1, {}, [])
    lab.do("back")  # cannot be pressed yet
    assert lab.at == -1
    for n in range(4):
        lab.do("next")
        assert lab.at == n
        kind, number = steps()[n]
        chosen = 1 if kind == "image_class" else tasks()[number].class_index  # ticks get no hint
        assert lab._shown.class_index == chosen
        lab._shown.labels = drawn[steps()[n]]
    assert lab.labels == {step: drawn[step] for step in steps()[:4]}
    assert "image class" in lab._bar.status
    assert "4 of 60" in lab._bar.prompt

    later = StopwatchLab()
    assert later.labels == lab.labels
    later._bar._asked = [1, "next"]  # as the button in the browser does
    assert later.at == 4
    later.do("back")
    later.do("again")
    assert set(later.labels) == set(steps()[:3])
    with pytest.raises(ValueError, match="verb must be"):
        later.do("jump")


def test_the_lab_ends_and_has_a_still_picture(data):
    lab = StopwatchLab()
    lab.at = 58
    lab.do("next")
    assert lab._bar._may == ["again", "back"]
    lab.do("next")
    assert lab.at == 59
    bundle, _ = lab._repr_mimebundle_()
    found = re.search(r'<img[^>]*alt="([^"]*)"[^>]*>', bundle["text/html"])
    assert "Draw the outline" in found[1]
    picture = base64.b64decode(re.search(r"data:image/jpeg;base64,([^\"]*)", found[0])[1])
    assert Image.open(io.BytesIO(picture)).size == (320, 320)
    assert "0 of 60" in repr(lab)
