"""Labels by several processes and by a cluster: the same as here, whatever dies on the way."""

import os
import signal
import subprocess
import sys
import time

import made_voc
import numpy as np
import pytest

from lecturekit.datasets import scenes
from lecturekit.datasets.voc import CLASSES, read_mask
from lecturekit.labels.label_map import IGNORE
from lecturekit.learning import label_files, recipes
from lecturekit.learning.data import scenes_data
from lecturekit.learning.label_files import LabelTask, write_label_files, write_labels
from lecturekit.learning.recipes import first_labels

pytestmark = pytest.mark.usefixtures("one_thread")
COUNT = 6


@pytest.fixture(autouse=True)
def small_parts(tmp_path, monkeypatch):
    """Parts of two pictures, here and in the processes, and a data folder of its own."""
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "own"))
    monkeypatch.setattr(recipes, "BATCH", 2)
    monkeypatch.setattr(label_files, "BATCH", 2)


@pytest.fixture
def voc(tmp_path):
    """Drawn scenes in VOC's layout."""
    root = made_voc.empty(tmp_path / "voc", train=[f"s{k}" for k in range(COUNT)])
    images, masks, boxes, classes = scenes.Scenes("train", COUNT, 0, size=48).arrays()
    for k in range(COUNT):
        things = zip([CLASSES[c] for c in classes[k]], boxes[k], strict=True)
        made_voc.add(root, f"s{k}", images[k], things, masks[k])
    return root


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.glob("*.png")}


def serial(voc, folder, recipe="grabcut_plus"):
    """The labels as one process makes them, this one."""
    for k in range(0, COUNT, 2):
        write_labels(LabelTask(recipe, str(voc), "train", (k, k + 1), str(folder)))
    return contents(folder)


def test_first_labels_by_processes_are_those_made_here(tmp_path):
    boxes = scenes_data(COUNT, 1, size=48).train
    here = first_labels("grabcut_plus", boxes, cache=False)
    there = first_labels("grabcut_plus", boxes, workers=2)
    for a, b in zip(here, there, strict=True):
        np.testing.assert_array_equal(a, b)
    kept = [path.name for path in (tmp_path / "own" / "bootstrap").iterdir()]
    assert len(kept) == 1  # the parts are gone
    assert kept[0].endswith(".npz")


def test_first_labels_go_on_after_a_kill(monkeypatch):
    """The second part breaks off once; the call after that asks for what is missing alone."""
    boxes = scenes_data(COUNT, 1, size=48).train
    asked = []

    def here(function, parts, workers):
        for part in parts:
            if len(asked) == 2 and not stopped:
                stopped.append(True)
                raise KeyboardInterrupt
            had = part.file is not None and part.file.exists()
            asked.append(had)
            yield label_files.Outcome(function(part), None)

    stopped: list[bool] = []
    monkeypatch.setattr(recipes, "mapped", here)
    with pytest.raises(KeyboardInterrupt):
        first_labels("naive", boxes, workers=2)
    found = first_labels("naive", boxes, workers=2)
    assert asked == [False, False, True, True, False]
    wanted = first_labels("naive", boxes, cache=False)
    assert all((a == b).all() for a, b in zip(found, wanted, strict=True))


def test_a_picture_that_cannot_be_labelled_costs_the_others_nothing(monkeypatch):
    boxes = scenes_data(4, 1, size=48).train
    bad = boxes.images[2]

    def here(function, parts, workers):
        for part in parts:
            there = any(image is bad for image in part.annotations.images)
            outcome = (None, ValueError("no picture")) if there else (function(part), None)
            yield label_files.Outcome(*outcome)

    monkeypatch.setattr(recipes, "mapped", here)
    with pytest.warns(UserWarning, match="picture 2 has no labels: no picture"):
        found = first_labels("naive", boxes, workers=1)
    wanted = first_labels("naive", boxes, cache=False)
    assert (found[2] == IGNORE).all()
    assert all((found[k] == wanted[k]).all() for k in (0, 1, 3))


def test_files_by_processes_are_those_made_here_and_bad_pictures_are_named(voc, tmp_path):
    (voc / "JPEGImages" / "s3.jpg").write_bytes(b"no picture")
    (voc / "Annotations" / "s4.xml").unlink()
    wanted = serial(voc, tmp_path / "here")
    report = write_label_files("grabcut_plus", voc, "train", tmp_path / "there", workers=1)
    assert contents(tmp_path / "there") == wanted
    assert sorted(wanted) == ["s0.png", "s1.png", "s2.png", "s5.png"]
    assert sorted(report.failed) == ["s3", "s4"]
    assert "s3.jpg is no sound JPEG" in report.failed["s3"]
    assert "4 of 6 pictures have labels" in str(report)
    assert read_mask(tmp_path / "there" / "s0.png", (48, 48)).any()


def test_a_run_that_is_killed_goes_on_to_the_same_files(voc, tmp_path):
    """A whole run, killed after its first part; what is there is not written again."""
    code = f"""from lecturekit.learning import label_files
label_files.BATCH = 2
label_files.write_label_files("grabcut_plus", {str(voc)!r}, "train", {str(tmp_path / "out")!r})"""
    run = subprocess.Popen([sys.executable, "-c", code])
    while run.poll() is None and len(contents(tmp_path / "out")) < 2:
        time.sleep(0.001)
    run.kill()
    run.wait()
    first = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.png")}
    write_label_files("grabcut_plus", voc, "train", tmp_path / "out")
    assert contents(tmp_path / "out") == serial(voc, tmp_path / "here")
    assert {"s0.png", "s1.png"} <= set(first)
    for name in ("s0.png", "s1.png"):
        assert (tmp_path / "out" / name).stat().st_mtime_ns == first[name]


def test_a_cluster_of_two_one_of_which_is_killed(voc, tmp_path):
    distributed = pytest.importorskip("dask.distributed", reason="the extra 'scale' is not installed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
    with distributed.LocalCluster(**options) as cluster:
        victim = next(iter(cluster.workers.values())).pid
        made = label_files._on_cluster(
            [LabelTask("grabcut_plus", str(voc), "train", (k,), str(tmp_path / "out")) for k in range(COUNT)],
            cluster.scheduler_address,
        )
        task, (failed, _) = next(made)
        os.kill(victim, signal.SIGKILL)
        others = [task for task, (failed, error) in made if not failed and error is None]
    assert failed == {}
    assert sorted(t.numbers[0] for t in [task, *others]) == list(range(COUNT))
    for k in range(COUNT):
        write_labels(LabelTask("grabcut_plus", str(voc), "train", (k,), str(tmp_path / "here")))
    assert contents(tmp_path / "out") == contents(tmp_path / "here")


def test_a_picture_that_defeats_a_recipe_is_left_out(voc, tmp_path, monkeypatch):
    made = recipes.first_labels

    def fails(recipe, annotations, **options):
        if any(image[0, 0, 0] == bad for image in annotations.images):
            raise RuntimeError("no cut")
        return made(recipe, annotations, **options)

    bad = int(label_files.VOC(voc).image(1)[0, 0, 0])
    same = {k for k in range(COUNT) if label_files.VOC(voc).image(k)[0, 0, 0] == bad}
    monkeypatch.setattr(label_files, "first_labels", fails)
    report = write_label_files("naive", voc, "train", tmp_path / "out")
    assert report.failed == {f"s{k}": "no cut" for k in same}
    assert len(contents(tmp_path / "out")) == COUNT - len(same)


def test_the_first_pictures_of_a_list_alone(voc, tmp_path):
    report = write_label_files("naive", voc, "train", tmp_path / "out", most=3)
    assert (report.pictures, sorted(contents(tmp_path / "out"))) == (3, ["s0.png", "s1.png", "s2.png"])


def test_pictures_and_labels_are_read_when_they_are_asked_for(voc):
    train = label_files.VOC(voc)
    images = label_files.ReadImages(train, [4, 1])
    labels = label_files.ReadLabels(voc / "SegmentationClass", ["s4", "s1"])
    assert images.sizes == [(48, 48)] * 2
    for k, number in enumerate((4, 1)):
        np.testing.assert_array_equal(images[k], train[number].image)
        np.testing.assert_array_equal(labels[k], train[number].mask)
    assert [len(part) for part in (images[:1], labels[:], list(images))] == [1, 2, 2]
    with pytest.raises(IndexError):
        labels[2]


def test_a_folder_holds_labels_of_one_kind(voc, tmp_path):
    write_label_files("naive", voc, "train", tmp_path / "out")
    with pytest.raises(ValueError, match="labels of another recipe; name another folder"):
        write_label_files("box_inner", voc, "train", tmp_path / "out")
    with pytest.raises(ValueError, match="PNGs of unknown origin"):
        write_label_files("naive", voc, "train", voc / "SegmentationClass")


@pytest.mark.parametrize("recipe", ["full", "filled", "nonsense"])
def test_recipes_that_need_more_than_a_picture_are_refused(voc, tmp_path, recipe):
    with pytest.raises(ValueError, match="recipe must"):
        write_label_files(recipe, voc, "train", tmp_path / "out")
    assert not (tmp_path / "out").exists()
