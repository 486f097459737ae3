"""The common ladder: what was measured, its prices, the figure, and a small version of the measuring."""

import json

import numpy as np
import pytest
from matplotlib import pyplot as plt

from lecturekit import plots
from lecturekit.labels.costs import COSTS, naming_seconds, seconds_an_image
from lecturekit.labs import rung, rung_students, simulated, stopwatch
from lecturekit.labs.rung import KINDS, Rung


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path))
    yield tmp_path
    plt.close("all")


def test_every_kind_is_measured_with_three_seeds():
    found = {r.kind: r for r in rung.rungs()}
    assert found.keys() == KINDS.keys()
    assert all(len(r.students) == 3 and 0 < r.quality < 1 for r in found.values())
    order = [found[kind].quality for kind in ("image_loss", "cam", "filled", "grabcut", "full")]
    assert order == sorted(order)


def test_every_chapter_has_a_rung():
    lit = {chapter for r in rung.rungs() for chapter in r.chapters}
    assert lit >= {"00", "01", "02", "03", "04", "05", "05b", "06", "07", "08", "09"}


def test_prices_are_those_of_a_picture():
    objects = json.loads(rung.FILE.read_text("utf-8"))["objects"]
    found = {r.kind: r for r in rung.rungs()}
    assert found["full"].seconds == pytest.approx(objects * COSTS["outline"].seconds + naming_seconds(7))
    assert found["cam"].seconds == pytest.approx(7.0)  # the classes' names alone
    assert found["scribble"].seconds == seconds_an_image(COSTS["scribble"], objects, 7)[0]
    assert [r.seconds for r in rung.rungs()] == sorted(r.seconds for r in rung.rungs())


def test_only_what_a_person_drew_becomes_the_own_price():
    found = stopwatch.measures(simulated.demo_labels())
    stopwatch.export(found, simulated=True)
    assert rung.own_seconds() == {}
    assert all(r.own is None for r in rung.rungs())
    stopwatch.export(found)
    own, medians = rung.own_seconds(), stopwatch.summary(found)
    assert own["outline"] == pytest.approx(medians["polygon"].seconds, abs=0.1)
    priced = {r.kind: r.own for r in rung.rungs()}
    assert priced["cam"] == pytest.approx(own["image_class"])  # seven classes ticked, no naming on top
    assert priced["full"] > own["outline"]


def test_a_damaged_export_is_passed_over(own_folder):
    (own_folder / "stopwatch").mkdir()
    (own_folder / "stopwatch" / "stopwatch-broken.json").write_text("{", "utf-8")
    assert rung.own_seconds() == {}


@pytest.mark.parametrize("chapter", ["", "02", "08"])
def test_the_figure_reads_well_and_lights_its_own(chapter):
    figure = rung.figure(chapter)
    assert plots.text_faults(figure) == []
    bold = {t.get_text() for t in figure.axes[0].get_yticklabels() if t.get_fontweight() == "bold"}
    assert bold == {r.title for r in rung.rungs() if chapter in r.chapters}
    assert rung.alt_text(chapter).count("(this chapter)") == len(bold)


def test_own_prices_are_drawn_and_told():
    ladder = [Rung("cam", 7.0, (0.2, 0.3), own=4.0), Rung("full", 200.0, (0.5, 0.6))]
    assert plots.text_faults(rung.figure("05", ladder)) == []
    alt = rung.alt_text("05", ladder)
    assert (
        "image label, by CAM (this chapter), 7 s, by your stopwatch 4 s: 0.25; outlines, 200 s: 0.55" in alt
    )


@pytest.fixture
def few(monkeypatch):
    """Six scenes to learn from and three to judge."""
    monkeypatch.setattr(rung_students, "TRAIN", 6)
    monkeypatch.setattr(rung_students, "VAL", 3)
    rung_students.lessons.cache_clear()
    yield
    rung_students.lessons.cache_clear()


def test_kinds_teach_the_same_student(few):
    for kind in ("click", "scribble", "click_loss", "scribble_loss", "image_loss", "filled"):
        (value,) = rung_students.measure(kind, seeds=1)
        assert 0 <= value <= 1
    truth = list(rung_students.lessons().data.train_masks)
    assert (
        rung_students.judged(truth) == rung_students.measure("full", seeds=1)[0]
    )  # one student, two ways to ask for it


def test_unknown_kinds_are_named():
    with pytest.raises(ValueError, match="kind must be one of"):
        rung_students.measure("caption")
    with pytest.raises(ValueError, match="seeds"):
        rung_students.measure("full", seeds=0)


@pytest.mark.slow
def test_the_kept_ladder_is_what_is_measured():
    kept = {r.kind: r.students for r in rung.rungs()}
    for kind in ("full", "filled", "cam"):
        assert np.allclose(rung_students.measure(kind), kept[kind], atol=0.02)


def test_saving_rounds_and_keeps(tmp_path, monkeypatch):
    monkeypatch.setattr(rung, "FILE", tmp_path / "rung.json")
    rung.save({"full": [0.123456, 0.2]}, 2.0)
    (one,) = rung.rungs()
    assert one.students == (0.1235, 0.2)
    assert one.seconds == pytest.approx(2 * COSTS["outline"].seconds + 7)
