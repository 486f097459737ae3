"""The loop: its tricks in closed form, what may see the truth, and what happens after a kill."""

import dataclasses
import gc
import os
import signal
import subprocess
import sys
import textwrap
import tracemalloc
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lecturekit.kit import cache as disk
from lecturekit.learning import bootstrap as loop
from lecturekit.learning import recipes
from lecturekit.learning.bootstrap import bootstrap, objects_found
from lecturekit.learning.data import BoxAnnotations, Data, scenes_data
from lecturekit.learning.recipes import RECIPES, first_labels
from lecturekit.learning.scale import Spread
from lecturekit.learning.training import Settings
from lecturekit.learning.tricks import (
    TRICKS,
    View,
    clear_outside,
    crf_boundaries,
    drop_wrong_class,
    reset_small,
)
from lecturekit.pixels.grabcut import grabcut_labels

QUICK = {"side": 64, "epochs": 2, "head": "linear", "device": "cpu"}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def few():
    return scenes_data(6, 3, size=32)


@pytest.fixture(autouse=True, scope="module")
def own_folder(tmp_path_factory):
    """The features are computed once for the tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("data")
        patch.setenv("LECTUREKIT_DATA", str(folder))
        yield folder


def same(a, b):
    """Two histories tell the same, to the bit."""
    assert [r.fingerprint for r in a.rounds] == [r.fingerprint for r in b.rounds]
    np.testing.assert_array_equal(a.student_iou, b.student_iou)
    for one, two in zip(a.rounds, b.rounds, strict=True):
        for x, y in zip(
            [*one.train_labels, *one.predicted], [*two.train_labels, *two.predicted], strict=True
        ):
            np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(one.labels.precision, two.labels.precision)
        assert one.found == two.found


# ----------------------------------------------------------------------------------------------------- tricks


def view(boxes, classes, size=(4, 6), first=0, probabilities=None):
    height, width = size
    if probabilities is None:
        probabilities = np.full((4, height, width), 0.25, np.float32)
    return View(
        np.zeros((height, width, 3), np.uint8),
        np.array(boxes, np.int64).reshape(-1, 4),
        np.array(classes, np.int64),
        np.full(size, first, np.uint8),
        probabilities,
    )


def test_a_wrong_class_becomes_the_likeliest_that_may_be_there():
    probabilities = np.zeros((4, 1, 4), np.float32)
    probabilities[:, 0] = np.array(
        [[0.1, 0.2, 0.0, 0.7], [0.3, 0.1, 0.1, 0.5], [0.1, 0.5, 0.3, 0.1], [0.1, 0.1, 0.1, 0.7]]
    ).T
    seen = view([(0, 0, 3, 1), (2, 0, 3, 1)], [1, 2], (1, 4), probabilities=probabilities)
    labels = np.array([[3, 3, 2, 3]], np.uint8)
    # class 3 has no box: pixel 0 turns to 1, pixel 1 to 0; pixel 2 has a box of class 2; pixel 3 is outside
    assert drop_wrong_class(labels, seen).tolist() == [[1, 0, 2, 3]]
    assert drop_wrong_class(np.full((1, 4), 255, np.uint8), seen).tolist() == [[255] * 4]


def test_outside_every_box_is_background():
    seen = view([(1, 0, 3, 2), (5, 3, 6, 4)], [1, 2])
    labels = clear_outside(np.full((4, 6), 3, np.uint8), seen)
    assert labels.tolist() == [[0, 3, 3, 0, 0, 0], [0, 3, 3, 0, 0, 0], [0] * 6, [0, 0, 0, 0, 0, 3]]
    assert not clear_outside(np.full((4, 6), 3, np.uint8), view([], [])).any()


@pytest.mark.parametrize(("filled", "reset"), [(4, True), (5, True), (6, False), (12, False)])
def test_a_box_with_too_little_of_its_class_is_reset(filled, reset):
    labels = np.zeros((4, 6), np.uint8)
    labels[:3, :4].flat[:filled] = 0
    for k in range(filled):
        labels[k // 4, k % 4] = 1
    out = reset_small(labels, view([(0, 0, 4, 3)], [1], first=255), min_share=0.5)
    assert (out[:3, :4] == 255).all() == reset
    assert (out[3:] == 0).all()
    if not reset:
        np.testing.assert_array_equal(out, labels)


def test_a_box_behind_answers_for_its_visible_part_only():
    """The large box shows 20 pixels, 12 of class 1; without the small one in front it has 12 of 24."""
    labels = np.zeros((4, 6), np.uint8)
    labels[:2] = 1
    seen = view([(0, 0, 6, 4), (0, 2, 2, 4)], [1, 2], first=3)
    out = reset_small(labels, seen, min_share=0.55)
    assert out[2:, :2].tolist() == [[3, 3], [3, 3]]  # the small box has nothing of class 2
    assert (out[:2] == 1).all()
    assert (reset_small(labels, view([(0, 0, 6, 4)], [1], first=3), min_share=0.55) == 3).all()


def test_the_crf_moves_a_boundary_to_the_colours():
    image = np.zeros((24, 24, 3), np.uint8)
    image[:, 12:] = 255
    labels = np.zeros((24, 24), np.uint8)
    labels[:, 9:] = 1
    seen = dataclasses.replace(view([(9, 0, 24, 24)], [1], (24, 24)), image=image)
    out = crf_boundaries(labels, seen)
    assert (out[:, 12:] == 1).all()
    assert (out[:, :12] == 0).mean() > 0.9
    np.testing.assert_array_equal(crf_boundaries(np.zeros((24, 24), np.uint8), seen), 0)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_tricks_in_any_order_leave_valid_labels(data):
    """Any boxes, degenerate ones too: what comes out is background, a class that was there, or ignored."""
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    count = data.draw(st.integers(0, 4))
    corners = np.sort(random.integers(-3, 12, (count, 2, 2)), 1).reshape(count, 4).clip(0, [8, 6, 8, 6])
    probabilities = random.dirichlet([0.3] * 4, (6, 8)).transpose(2, 0, 1).astype(np.float32)
    seen = view(corners, random.integers(1, 4, count), (6, 8), first=255, probabilities=probabilities)
    labels = random.choice(np.array([0, 1, 2, 3, 255], np.uint8), (6, 8))
    order = data.draw(st.permutations([drop_wrong_class, clear_outside, reset_small]))
    before = labels.copy()
    out = labels
    for trick in order:
        out = trick(out, seen)
        assert out.dtype == np.uint8
        assert out.shape == (6, 8)
        assert set(np.unique(out)) <= {0, 1, 2, 3, 255}
    np.testing.assert_array_equal(labels, before)  # no trick writes into what it was given
    np.testing.assert_array_equal(clear_outside(clear_outside(out, seen), seen), clear_outside(out, seen))
    once = drop_wrong_class(out, seen)
    np.testing.assert_array_equal(drop_wrong_class(once, seen), once)


# --------------------------------------------------------------------------------------------------- measures


def test_objects_found_in_closed_form():
    truth, labels = np.zeros((4, 8), np.uint8), np.zeros((4, 8), np.uint8)
    truth[:, :4], labels[:, 1:4] = 1, 1  # IoU 12 / 16
    truth[:2, 4:], labels[:, 4:] = 2, 2  # IoU 8 / 16, and 8 / 8 where the wrong half is void
    boxes, classes = np.array([(0, 0, 4, 4), (4, 0, 8, 4), (0, 0, 4, 4)]), np.array([1, 2, 3])
    each = [labels], [truth], [boxes], [classes]
    assert objects_found(*each, iou=0.5) == 1
    assert objects_found(*each, iou=0.75) == 0.5
    assert objects_found(*each, iou=0.76) == 0
    truth[2:, 4:] = 255
    assert objects_found(*each, iou=0.75) == 1
    assert np.isnan(objects_found([labels], [truth], [np.zeros((0, 4))], [np.zeros(0, int)]))


# --------------------------------------------------------------------------------------------------- the loop


def test_the_recipes_of_the_paper_are_here():
    assert " ".join(RECIPES) == (
        "naive box box_inner grabcut grabcut_plus grabcut_plus_inner mcg mcg_and_grabcut_plus filled full"
    )
    assert RECIPES["naive"].tricks == ()
    assert RECIPES["box"].tricks == TRICKS == (drop_wrong_class, clear_outside, reset_small, crf_boundaries)
    assert all("The lecture:" in trick.__doc__ for trick in TRICKS)


def test_rounds_and_their_numbers(few):
    history = bootstrap(few, "box", 2, keep=2, cache=False, **QUICK)
    assert len(history) == 2
    assert history.tricks == ("drop_wrong_class", "clear_outside", "reset_small", "crf_boundaries")
    first, second = history.rounds
    filled = first_labels("naive", few.train, cache=False)
    for a, b in zip(first.train_labels, filled, strict=False):
        np.testing.assert_array_equal(a, b)
    assert len(first.train_labels) == len(first.predicted) == 2
    assert first.student.shape == (8,)
    assert first.labels.recall[0] < 1 <= first.labels.coverage[0]
    assert history.student_iou.tolist() == [first.student_iou, second.student_iou]


def test_naive_teaches_what_the_student_said(few):
    """Without tricks the labels of round two are the answers of the student of round one, pixel by pixel."""
    history = bootstrap(few, "naive", 2, keep=6, cache=False, **QUICK)
    options = Settings(epochs=2, head="linear")
    run = loop._Run(
        few, "naive", (), 0, None, 64, None, "own", False, 6, False, options, Spread(), "cpu", False
    )
    answers = run.student(run.first).labels(run.features[0])
    for taught, said in zip(history[1].train_labels, answers, strict=True):
        np.testing.assert_array_equal(taught, said)


@pytest.fixture(scope="module")
def blind(few):
    """The same with noise in the place of the truth."""
    random = np.random.default_rng(0)
    noise = [random.integers(0, 8, m.shape).astype(np.uint8) for m in few.train_masks]
    return dataclasses.replace(few, train_masks=noise)


@pytest.mark.parametrize("recipe", ["naive", "box", "grabcut_plus", "mcg_and_grabcut_plus"])
def test_the_truth_is_seen_by_evaluation_only(few, blind, recipe):
    """Where it is replaced by noise, the students are the same to the bit, and only the figures change."""
    a, b = (bootstrap(data, recipe, 2, cache=False, **QUICK) for data in (few, blind))
    assert [r.fingerprint for r in a.rounds] == [r.fingerprint for r in b.rounds]
    assert a.label_iou.tolist() != b.label_iou.tolist()


def test_full_supervision_sees_the_truth(few, blind):
    """Otherwise the test above would mean nothing."""
    full = [bootstrap(data, "full", cache=False, **QUICK)[0].fingerprint for data in (few, blind)]
    assert full[0] != full[1]


def test_a_seed_settles_everything(few):
    a, b, other = (bootstrap(few, "box", 2, seed, cache=False, **QUICK) for seed in (1, 1, 2))
    same(a, b)
    assert a[0].fingerprint != other[0].fingerprint


def test_a_second_call_computes_nothing(few, monkeypatch):
    before = bootstrap(few, "box", 2, **QUICK)
    for name in ("train", "features", "first_labels"):
        monkeypatch.setattr(loop, name, None)
    same(bootstrap(few, "box", 2, **QUICK), before)
    one = bootstrap(few, "box", 1, **QUICK)
    assert one[0].fingerprint == before[0].fingerprint
    assert len(one) == 1
    with pytest.raises(TypeError):  # other tricks are another run
        bootstrap(few, "box", 2, tricks=(clear_outside,), **QUICK)


def test_more_rounds_go_on_from_those_there_are(few):
    apart = bootstrap(few, "box_inner", 1, **QUICK)
    assert len(apart) == 1
    same(bootstrap(few, "box_inner", 3, **QUICK), bootstrap(few, "box_inner", 3, cache=False, **QUICK))


def test_a_damaged_file_is_computed_anew(few, own_folder):
    before = bootstrap(few, "naive", 1, seed=9, **QUICK)
    newest = max((own_folder / "bootstrap").glob("[0-9a-f]*.npz"), key=lambda p: p.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:300])
    with pytest.warns(UserWarning, match="damaged"):
        same(bootstrap(few, "naive", 1, seed=9, **QUICK), before)


def test_without_a_cache_nothing_is_written_or_read(few, tmp_path, monkeypatch):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path))
    monkeypatch.setattr(disk, "read", None)  # whoever reads now fails
    for recipe in ("grabcut_plus", "mcg_and_grabcut_plus", "naive"):
        bootstrap(few, recipe, 2, cache=False, **QUICK)
    assert list(tmp_path.rglob("*")) == []


def test_rounds_of_another_file_or_with_missing_entries_are_made_anew(few, own_folder):
    before = bootstrap(few, "naive", 1, seed=21, **QUICK)
    folder = own_folder / "bootstrap"
    newest = max(folder.glob("[0-9a-f]*.npz"), key=lambda p: p.stat().st_mtime_ns)
    with np.load(newest) as content:
        arrays = dict(content)
    for short in ({}, {"rounds": arrays["rounds"]}, arrays | {"0 quality": arrays["0 quality"][:0]}):
        np.savez(newest, **short)
        with pytest.warns(UserWarning, match="made anew"):
            same(bootstrap(few, "naive", 1, seed=21, **QUICK), before)


def test_rounds_made_with_other_threads_are_not_gone_on_with(few, monkeypatch):
    bootstrap(few, "naive", 1, seed=22, **QUICK)
    calls, learn = [], loop.train
    monkeypatch.setattr(loop, "train", lambda *a, **k: (calls.append(1), learn(*a, **k))[1])
    bootstrap(few, "naive", 1, seed=22, **QUICK)
    assert not calls
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    bootstrap(few, "naive", 1, seed=22, **QUICK)
    assert len(calls) == 1


CHILD = """
import os, sys, time
import torch
torch.set_num_threads(1)
from lecturekit.learning import bootstrap as loop
from lecturekit.learning.data import scenes_data
train, calls = loop.train, []
def slow(*arguments, **options):
    calls.append(1)
    if len(calls) == 2:                     # in the middle of the second round
        print("second round", flush=True)
        time.sleep(600)
    return train(*arguments, **options)
loop.train = slow
loop.bootstrap(scenes_data(6, 3, size=32), "box", 3, 5, side=64, epochs=2, head="linear", device="cpu")
"""


def test_a_run_that_was_killed_in_a_round_goes_on_from_it(few, own_folder):
    """A real process, a real kill."""
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD)],
        stdout=subprocess.PIPE,
        env=dict(os.environ),
        text=True,
    )
    try:
        assert child.stdout.readline() == "second round\n"
    finally:
        child.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
        child.wait()
        child.stdout.close()
    with pytest.MonkeyPatch.context() as patch:
        calls = []
        train = loop.train
        patch.setattr(loop, "train", lambda *a, **k: (calls.append(1), train(*a, **k))[1])
        resumed = bootstrap(few, "box", 3, 5, **QUICK)
    assert len(calls) == 3  # the first round's student once more, for its labels; then two rounds
    same(resumed, bootstrap(few, "box", 3, 5, cache=False, **QUICK))


def test_memory_does_not_grow_with_the_rounds(few):
    """Peak of Python's memory over 2 rounds and over 5, after one run that fills all caches."""

    def peak(rounds):
        gc.collect()
        tracemalloc.start()
        bootstrap(few, "box", rounds, keep=0, cache=False, **QUICK)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    bootstrap(few, "box", 2, keep=0, cache=False, **QUICK)
    assert peak(5) < 1.1 * peak(2) + 20_000


def bare(boxes, classes, size=(32, 32)):
    """Two pictures of noise with these boxes each, and one held-out picture."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (*size, 3)).astype(np.uint8) for _ in range(3)]
    boxes, classes = np.array(boxes, float).reshape(-1, 4), np.array(classes, int)
    masks = [random.integers(0, 3, size).astype(np.uint8) for _ in range(3)]
    some = BoxAnnotations(images[:2], [boxes] * 2, [classes] * 2)
    return Data(
        some, masks[:2], BoxAnnotations(images[2:], [boxes], [classes]), masks[2:], ("background", "a", "b")
    )


@pytest.mark.parametrize("recipe", ["box", "box_inner", "mcg_and_grabcut_plus"])
@pytest.mark.parametrize(
    ("boxes", "classes"),
    [
        ([], []),
        ([(0, 0, 32, 32)], [1]),
        ([(5, 5, 5, 9), (-9, -9, -1, -1), (40, 0, 50, 9), (3, 3, 4, 4)], [1, 2, 1, 2]),
    ],
    ids=["no object", "whole picture", "empty, outside, one pixel"],
)
def test_degenerate_boxes(recipe, boxes, classes):
    history = bootstrap(bare(boxes, classes), recipe, 2, cache=False, **QUICK)
    assert len(history) == 2
    assert all(labels.dtype == np.uint8 for r in history.rounds for labels in r.train_labels)


def test_300_objects():
    random = np.random.default_rng(1)
    corner = random.integers(0, 28, (300, 2))
    boxes = np.concatenate([corner, corner + random.integers(1, 5, (300, 2))], 1)
    history = bootstrap(bare(boxes, random.integers(1, 3, 300)), "box", 2, cache=False, **QUICK)
    assert np.isfinite(history.student_iou).all()


def test_tricks_can_be_left_out_changed_and_reordered(few):
    names = bootstrap(
        few, "box", 1, tricks=(partial(reset_small, min_share=0.2), clear_outside), **QUICK
    ).tricks
    assert names == ("reset_small(min_share=0.2)", "clear_outside")


def test_first_labels_can_be_given(few):
    mine = [np.where(m == 1, 255, m).astype(np.uint8) for m in few.train_masks]
    history = bootstrap(few, "naive", 1, first=mine, cache=False, **QUICK)
    np.testing.assert_array_equal(history[0].train_labels[0], mine[0])


def test_labels_are_made_in_batches_and_each_boundary_map_once(few, tmp_path, monkeypatch):
    """The same labels as picture by picture; two recipes look at one boundary map each."""
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path))
    monkeypatch.setattr(recipes, "BATCH", 4)
    seen, edges = [], recipes.boundary_map
    monkeypatch.setattr(recipes, "boundary_map", lambda image: (seen.append(1), edges(image))[1])
    found = first_labels("grabcut_plus", few.train)
    first_labels("grabcut_plus_inner", few.train)
    assert len(seen) == len(few.train)
    plain = first_labels("grabcut", few.train)
    each = zip(few.train.images, few.train.boxes, few.train.classes, strict=True)
    for k, (image, boxes, classes) in enumerate(each):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = grabcut_labels(image, boxes, classes, edges(image).astype(np.float32))
            np.testing.assert_array_equal(plain[k], grabcut_labels(image, boxes, classes))
        np.testing.assert_array_equal(found[k], wanted)


def test_hed_sees_the_pictures_as_they_are_and_its_map_is_shrunk(few, tmp_path, monkeypatch):
    """Another boundary map gives other labels and has a place of its own on the disk."""
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path))
    asked = []

    def nothing_anywhere(image, size):
        asked.append((image.shape[:2], size))
        return np.zeros(size, np.float32)

    monkeypatch.setattr(recipes, "hed_edges", nothing_anywhere)
    found = first_labels("grabcut_plus", few.train, side=24, boundaries="hed")
    assert asked == [((32, 32), (24, 24))] * 6
    own = first_labels("grabcut_plus", few.train, side=24)
    assert any((a != b).any() for a, b in zip(found, own, strict=True))
    with pytest.raises(ValueError, match="boundaries must be one of"):
        first_labels("grabcut_plus", few.train, boundaries="mine")


def test_labels_can_be_made_of_smaller_pictures(few):
    small = few.train.shrunk(16)
    assert small.sizes == [(16, 16)] * 6
    np.testing.assert_allclose(small.boxes[0], few.train.boxes[0] / 2)
    large = first_labels("naive", few.train, side=16, cache=False)
    for one, two in zip(large, first_labels("naive", small, cache=False), strict=True):
        np.testing.assert_array_equal(one, np.kron(two, np.ones((2, 2), np.uint8)))
    assert few.train.shrunk(None) is few.train.shrunk(32) is few.train


def test_out_of_fold_probabilities_are_of_students_that_did_not_see_the_picture(few, monkeypatch):
    plan = dataclasses.replace(RECIPES["box"], folds=2)
    monkeypatch.setitem(RECIPES, "box", plan)
    options = Settings(epochs=2, head="linear")
    run = loop._Run(
        few, "box", (), 0, None, 64, None, "own", False, 6, False, options, Spread(), "cpu", False
    )
    sizes = few.train.sizes
    found = list(run.probabilities(run.first, None, sizes))
    for fold in (0, 1):
        mine = np.arange(fold, 6, 2)
        learner = run.student(run.first, np.arange(1 - fold, 6, 2))
        wanted = learner.probabilities(run.features[0].part(mine))
        for k, each in zip(mine, wanted, strict=True):
            np.testing.assert_array_equal(found[k], each)
    monkeypatch.setattr(recipes, "RECIPES", RECIPES)
    history = bootstrap(few, "box", 2, cache=False, **QUICK)
    assert len(history) == 2


def test_a_crf_at_test_changes_answers_and_not_students(few):
    plain, refined = (bootstrap(few, "full", cache=False, crf_at_test=on, **QUICK) for on in (False, True))
    assert plain[0].fingerprint == refined[0].fingerprint
    assert plain[0].counts.tolist() != refined[0].counts.tolist()
    image = np.zeros((24, 24, 3), np.uint8)
    image[:, 12:] = 255
    p = np.full((4, 24, 24), 0.05, np.float32)
    p[0], p[2] = 0.6, 0.3
    p[0, :, 9:], p[2, :, 9:] = 0.3, 0.6  # three columns too many
    answer = loop.refined_answer(p, image)
    assert (answer[:, 12:] == 2).all()
    assert (answer[:, :12] == 0).mean() > 0.9


def test_a_tuning_set_has_no_val_picture(few):
    part = few.tuning(0.34)
    assert (len(part.train), len(part.val)) == (4, 2)
    assert all(a is b for a, b in zip(part.train.images, few.train.images, strict=False))
    assert all(a is b for a, b in zip(part.val_masks, few.train_masks[4:], strict=True))


@pytest.mark.parametrize(
    ("change", "error", "word"),
    [
        ({"recipe": "boxes"}, ValueError, "recipe must be one of"),
        ({"rounds": 0}, ValueError, "rounds"),
        ({"seed": -1}, ValueError, "seed"),
        ({"keep": 1.5}, ValueError, "keep"),
        ({"tricks": ["crf"]}, TypeError, "tricks"),
        ({"head": "deep"}, ValueError, "head"),
        ({"first": [np.zeros((3, 3), np.uint8)]}, ValueError, "labels must be one a picture"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_bad_arguments_of_a_run_are_named(few, change, error, word):
    with pytest.raises(error, match=word):
        bootstrap(few, **({"recipe": "naive", "cache": False} | QUICK | change))


def test_data_that_does_not_fit_is_named(few):
    with pytest.raises(ValueError, match="train_masks must be one mask a picture"):
        dataclasses.replace(few, train_masks=few.train_masks[:-1])
    with pytest.raises(ValueError, match="names must name every class"):
        dataclasses.replace(few, names=("background",))
    with pytest.raises(ValueError, match="one a picture and not empty"):
        BoxAnnotations([], [], [])
    with pytest.raises(ValueError, match="the truth itself"):
        first_labels("full", few.train)
