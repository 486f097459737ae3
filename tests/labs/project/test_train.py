"""What is drawn becomes what is taught, for every kind of label and any mixture."""

import shutil

import numpy as np
import pytest
import torch
from project_pictures import drawn, number, painted

from lecturekit.labels import shapes
from lecturekit.labs import project
from lecturekit.labs.project import Picture, _seen, _suggest, _targets, _train

OPTIONS = {"side": 64, "device": "cpu", "progress": False}


@pytest.fixture
def one(begun):
    return begun, begun.train[0], begun.image(begun.train[0])


def label(kind, c, points=(), **more):
    name = f"{kind}-{c}-{len(more)}-{points}"[:64]
    return {"id": name, "kind": kind, "class_index": c, "points": list(points), "milliseconds": 0} | more


def square(kind, c, x0, y0, x1, y1):
    points = [[x0, y0], [x1, y1]] if kind == "box" else [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
    return label(kind, c, [[float(x), float(y)] for x, y in points])


def test_outlines_are_taught_as_they_are_and_the_rest_is_background(one):
    found = _targets.target(*one, [square("polygon", 2, 10, 8, 30, 20)])
    assert found.complete
    assert found.present.tolist() == [True, False, True]
    expected = np.zeros((48, 64), np.uint8)
    expected[8:20, 10:30] = 2
    assert (found.dense == expected).all()
    assert (found.strokes == 255).all()


def test_a_class_that_is_only_named_leaves_the_rest_unknown(one):
    found = _targets.target(*one, [square("polygon", 2, 10, 8, 30, 20), label("image_class", 1)])
    assert set(np.unique(found.dense)) == {2, 255}
    assert found.present.all()


def test_tags_say_what_is_there_and_where_nothing(one):
    found = _targets.target(*one, [label("image_class", 1)])
    assert not found.complete
    assert (found.dense == 255).all()
    assert found.present.tolist() == [True, True, False]
    empty = _targets.target(*one, [label("image_class", 3)])
    assert empty.complete
    assert (empty.dense == 0).all()


def test_clicks_and_scribbles_count_more_than_masks(one):
    stroke = label("scribble", 3, [[12.0, 10.0], [20.0, 10.0]], width=2.0)
    click = label("point", 1, [[40.5, 30.5]])
    found = _targets.target(*one, [stroke, click, square("polygon", 2, 10, 8, 30, 20)])
    assert found.dense[9, 15] == found.strokes[9, 15] == 0
    assert found.dense[30, 40] == found.strokes[30, 40] == 1
    assert found.dense[15, 15] == 2
    alone = _targets.target(*one, [stroke, click])
    assert not alone.complete
    assert (alone.dense == alone.strokes).all()


def test_in_a_box_the_object_is_looked_for(one):
    image, mask = painted_of(one[1])
    c = int(mask.max())
    rows, columns = np.nonzero(mask == c)
    box = square("box", c, columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    found = _targets.target(*one[:2], image, [box])
    said = found.dense != 255
    assert (found.dense == mask)[said & np.isin(mask, (0, c))].mean() > 0.9
    outside = np.ones(mask.shape, bool)
    outside[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = False
    assert (found.dense[outside] == 0).all()


def test_a_mask_is_worth_more_than_the_box_round_it(one):
    labels = [square("box", 2, 10, 8, 30, 20), square("polygon", 2, 11, 8, 30, 20)]
    expected = _targets.target(*one, labels[1:])
    assert (_targets.target(*one, labels).dense == expected.dense).all()


def test_labels_of_large_pictures_are_brought_to_a_small_map(begun):
    large = Picture("large.jpg", "0" * 32, (3000, 4000), "train")
    mask = np.zeros((3000, 4000), bool)
    mask[1500:, :2000] = True
    labels = [
        label("mask", 1, size=[3000, 4000], counts=shapes.encode_rle(mask)),
        label("scribble", 2, [[3000.0, 100.0], [3999.0, 100.0]], width=60.0),
        label("point", 2, [[4000.0, 3000.0]]),
    ]
    found = _targets.target(begun, large, np.zeros((384, 512, 3), np.uint8), labels)
    assert found.dense.shape == (120, 160)
    assert (found.dense[60:, :80] == 1).all()
    assert found.dense[4, 130] == found.dense[119, 159] == 2
    assert (found.dense == 255).mean() > 0.6  # there is a 2 of which only strokes are known


def test_the_truth_wants_all_objects_as_masks(begun):
    one = begun.train[0]
    assert _targets.mask_of(begun, one) is None
    begun.save_labels(one, [square("polygon", 2, 10, 8, 30, 20)])
    assert _targets.mask_of(begun, one).sum() == 2 * 20 * 12
    begun.save_labels(one, [square("box", 1, 0, 0, 9, 9)])
    assert _targets.mask_of(begun, one) is None
    begun.save_labels(one, [square("polygon", 1, 1, 1, 9, 9)])  # what the box of another tool is about
    assert set(np.unique(_targets.mask_of(begun, one))) == {0, 1, 2}
    empty = begun.train[1]
    begun.save_labels(empty, [label("image_class", 3)])
    assert not _targets.mask_of(begun, empty).any()
    tagged = begun.train[2]
    begun.save_labels(tagged, [label("image_class", 1)])
    assert _targets.mask_of(begun, tagged) is None


def painted_of(picture):
    return painted(number(picture))


def draw(made, *kinds):
    for k, one in enumerate(made.train):
        if kinds[k % len(kinds)]:
            made.save_labels(one, drawn(painted(number(one))[1], kinds[k % len(kinds)]))


@pytest.mark.usefixtures("halved", "own_data", "one_thread")
@pytest.mark.parametrize(
    ("kinds", "least"),
    [(["mask"], 0.6), (["mask", "image_class", "box", "scribble", "point", None], 0.5)],
    ids=["masks", "mixture"],
)
def test_every_kind_of_label_and_a_mixture_teach(begun, kinds, least):
    draw(begun, *kinds)
    made = project.train(begun, **OPTIONS)
    assert project.measure(begun, made).iou > least
    assert len(made.halves) == 2
    assert made.facts["pictures"] == len([k for k in range(20) if kinds[k % len(kinds)]])


@pytest.mark.usefixtures("quick", "own_data", "one_thread")
def test_the_same_again_and_after_a_break(begun, monkeypatch):
    draw(begun, "mask", "point")
    prints = [one.fingerprint() for one in project.train(begun, **OPTIONS).students]
    read = project.trained(begun)
    assert [one.fingerprint() for one in read.students] == prints
    save, calls = _train.train_student.__globals__["Training"].save, []

    def killed(self, epochs, parts):
        save(self, epochs, parts)
        calls.append(epochs)
        if len(calls) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_train.train_student.__globals__["Training"], "save", killed)
        with pytest.raises(KeyboardInterrupt):
            project.train(begun, **OPTIONS)
    folder = begun.beside("student")
    assert len(list(folder.glob("unfinished-*.pt"))) == 1
    assert [one.fingerprint() for one in project.train(begun, **OPTIONS).students] == prints
    assert list(folder.glob("unfinished-*.pt")) == []


def test_nothing_drawn_and_no_seeds(begun):
    with pytest.raises(ValueError, match=r"must have labels .* got none"):
        project.train(begun, **OPTIONS)
    with pytest.raises(ValueError, match="seeds must be"):
        project.train(begun, seeds=(), **OPTIONS)
    with pytest.raises(ValueError, match="side"):
        project.train(begun, side=8)
    with pytest.raises(FileNotFoundError, match="train first"):
        project.trained(begun)


@pytest.mark.usefixtures("own_data", "one_thread")
def test_features_are_computed_once_a_picture(begun, monkeypatch):
    first = _seen.seen(begun, begun.train[:3], side=64, device="cpu")

    def never(*args, **options):
        raise AssertionError("computed again")

    made = _seen.features
    monkeypatch.setattr(_seen, "features", never)
    again = _seen.seen(begun, begun.train[2::-1], side=64, device="cpu")
    assert (again.values == first.values[::-1]).all()
    monkeypatch.setattr(_seen, "features", lambda images, **options: made(images, **options))
    more = _seen.seen(begun, begun.train[:5], side=64, device="cpu")
    assert (more.values[:3] == first.values).all()


@pytest.mark.usefixtures("quick", "own_data", "one_thread")
def test_a_temperature_changes_confidence_and_no_answer(taught):
    found = project.trained(taught)
    image = torch.rand(1, 3, 48, 64)
    before = found.students[0].module(found.network("cpu").backbones[0](image))
    offset = found.students[0].offset
    cooled = _train._cooled(found.students[0], 2.0)
    after = cooled.module(found.network("cpu").backbones[0](image))
    assert torch.allclose(after, before / 2, atol=1e-5)
    assert torch.allclose(cooled.offset, offset / 2)


@pytest.mark.usefixtures("quick", "own_data", "one_thread")
def test_the_whole_network_can_be_trained(begun, monkeypatch):
    monkeypatch.setitem(_train.FINETUNE, "epochs", 2)
    monkeypatch.setattr(_train, "LEAST", 6)
    draw(begun, "mask", None, None, "box", "point")
    made = project.train(begun, finetune=True, **OPTIONS)
    read = project.trained(begun)
    assert [one.fingerprint() for one in read.students] == [one.fingerprint() for one in made.students]
    assert [one.whole for one in (*read.students, *read.halves)] == [True, False, False]
    assert read.facts["temperature"] == 1  # that of the halves would be another network's
    assert [one.picture in begun.train for one in project.suggest(begun, 2)] == [True, True]
    assert project.label_map(begun, begun.train[0]).shape == (48, 64)
    assert "is not calibrated" in project.report(begun).read_text("utf-8")
    for name in ("student.pt", "student.onnx"):  # the whole network goes into the file
        assert project.export(begun, begun.path.with_name(name)).stat().st_size > 1e7


def test_a_student_that_cannot_be_read_or_is_of_other_classes(taught, tmp_path):
    shutil.copytree(taught.path.parent, tmp_path / "p")
    made = project.load(tmp_path / "p")
    text = made.path.read_text("utf-8")
    made.path.write_text(text.replace("background]", "background, star]"), "utf-8")
    with pytest.raises(ValueError, match="knows 2 classes and the project 3"):
        project.trained(project.load(made.path))
    made.path.write_text(text, "utf-8")
    (made.beside("student") / "student.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="train again"):
        project.trained(made)


# ------------------------------------------------------------------------------------------- corrections


@pytest.mark.usefixtures("own_data", "one_thread", "quick")
def test_strokes_correct_the_answer_they_were_drawn_on(begun):
    draw(begun, "mask", "mask", "mask", None)
    project.train(begun, **OPTIONS)
    bare = next(one for one in begun.train if not begun.labels(one))
    answer = project.label_map(begun, bare)
    stroke = label("scribble", 3, [[5.0, 40.0], [20.0, 40.0]], width=3.0)
    wrong = label("scribble", 2, [[30.0, 24.0], [40.0, 24.0]], width=3.0)
    made = project.correct(begun, {bare: [stroke, wrong]}, device="cpu")
    assert made.facts["pictures"] == 16
    found = _targets.target(begun, bare, begun.image(bare), begun.labels(bare))
    assert (found.dense[24, 31:39] == 2).all()
    assert (found.dense[40, 6:19] == 0).all()
    kept = (found.dense != 255) & (found.strokes == 255)
    assert kept.mean() > 0.3
    assert (found.dense == answer)[kept].all()


def test_a_stroke_throws_doubt_on_its_piece_only():
    start = np.zeros((40, 40), np.uint8)
    start[2:10, 2:10] = 1
    start[20:30, 20:30] = 1
    stroke = np.zeros((40, 40), bool)
    stroke[24, 22:28] = True
    doubted = _targets._doubted(start, stroke)
    assert doubted[20:30, 20:30].all()
    assert doubted.sum() == 100
    on_ground = np.zeros((40, 40), bool)
    on_ground[35, 5:10] = True
    doubted = _targets._doubted(start, on_ground)
    assert doubted[35, 5:10].all()
    assert not doubted[:25].any()


@pytest.mark.usefixtures("own_data", "one_thread", "quick")
def test_an_answer_that_was_only_looked_at_teaches_nothing(begun):
    draw(begun, "mask", "mask", "mask", None)
    bare = next(one for one in begun.train if not begun.labels(one))
    begun.save_labels(bare, [label("point", 1, [[3.0, 3.0]])])
    project.train(begun, **OPTIONS)
    options = project.labeller_options(begun)
    assert options["answers"](bare.file).shape == (48, 64)
    found = _targets.target(begun, bare, begun.image(bare), begun.labels(bare))
    assert (found.dense != 255).sum() == 1
    begun.save_labels(bare, [label("point", 2, [[40.0, 3.0]])])
    found = _targets.target(begun, bare, begun.image(bare), begun.labels(bare))
    assert (found.dense != 255).mean() > 0.3


def test_corrections_are_strokes(taught):
    with pytest.raises(ValueError, match="kind must be one of 'scribble', 'point'"):
        project.correct(taught, {taught.train[0]: [square("box", 1, 0, 0, 5, 5)]})


# -------------------------------------------------------------------------------------------- suggestions


@pytest.mark.usefixtures("own_data", "one_thread", "halved")
def test_suggestions_are_pictures_without_labels_each_once(begun):
    draw(begun, "mask", None)
    assert project.labeller_options(begun) == {}
    project.train(begun, **OPTIONS)
    for by in ("coverage", "doubt"):
        found = project.suggest(begun, 7, by=by)
        names = [one.picture.file for one in found]
        assert len(set(names)) == 7
        assert not any(begun.labels(one.picture) for one in found)
        assert all(one.kind in shapes.KINDS and 0 <= one.doubt <= 1 and one.why for one in found)
        assert sum(one.alike for one in found) <= 10 - 7
        assert len(project.suggest(begun, 100, by=by)) == 10
    assert project.labeller_options(begun)["doubtful"]()[:7] == names
    with pytest.raises(ValueError, match="n must be"):
        project.suggest(begun, 0)
    with pytest.raises(ValueError, match="by must be"):
        project.suggest(begun, by="luck")
    draw(begun, "mask")
    assert project.suggest(begun) == []


@pytest.mark.usefixtures("own_data", "one_thread")
def test_where_to_begin_is_told_without_a_student(begun):
    found = project.suggest(begun, 3)
    assert [(one.kind, one.doubt) for one in found] == [("box", None)] * 3
    assert 0 < sum(one.alike for one in found) <= 20 - 3
    assert f"{found[0].alike} more picture" in found[0].why
    with pytest.raises(FileNotFoundError, match="no student"):
        project.suggest(begun, by="doubt")


@pytest.mark.parametrize("known", [None, 3])
def test_each_suggestion_brings_the_others_nearest(known):
    """Against trying each picture by the definition."""
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(14, 5)).astype("f4")
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    here, there = rows[:10], None if known is None else rows[10 : 10 + known]
    shown = [] if there is None else list(there)

    def near(some):
        return sum(max([-1.0, *(float(one @ other) for other in some)]) for one in here)

    for k in _suggest.covering(here, there, 4):
        gains = [near([*shown, one]) for one in here]
        assert gains[k] == pytest.approx(max(gains), abs=1e-5)
        shown.append(here[k])
