"""The benchmark of recipes on a small folder in VOC's layout, and what it says of its own table."""

import made_voc
import numpy as np
import pytest

pytest.importorskip("higra", reason="higra has no wheels for this machine")

from lecturekit.benchmarks import boxes as benchmark
from lecturekit.learning import bootstrap as loop
from lecturekit.learning.bootstrap import History, Round
from lecturekit.learning.data import voc_data
from lecturekit.learning.recipes import RECIPES
from lecturekit.metrics import LabelQuality

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path):
    """Four pictures of a disc of class 3, two of them held out."""
    y, x = np.indices((40, 48))
    discs = {str(k): (y - 20) ** 2 + (x - 20 - k) ** 2 <= 150 for k in range(4)}
    return made_voc.add_birds(made_voc.empty(tmp_path / "voc", train="01", val="23"), discs, 8)


def test_photographs_keep_their_own_size(folder):
    """The network and the measures see a photograph as it is; labels alone are made of smaller ones."""
    data = voc_data(folder)
    assert data.train.sizes == data.val.sizes == [(40, 48)] * 2
    assert all(mask.shape == (40, 48) for mask in [*data.train_masks, *data.val_masks])
    assert len(data.fewer(1, 2).train) == 1


def test_all_recipes_in_one_table(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(benchmark, "SEEN", 128)
    monkeypatch.setattr(benchmark, "STUDENT", {"head": "linear", "epochs": 15, "lr": 2e-2, "batch": 2})
    shown = benchmark.run(folder, seeds=1, rounds=2)
    rows = {
        line.split("|")[1].strip(): line.split("|")[2:-1] for line in shown.splitlines() if line[:2] == "| "
    }
    assert [title for title in rows if title != "recipe"] == [recipe.title for recipe in RECIPES.values()]
    assert [float(v) for v in rows["full supervision"][:3]] == [100, 100, 100]
    assert len(rows["Box"][4].split(",")) == 2
    assert len(rows["GrabCut+"][4].split(",")) == 1
    assert rows["full supervision"][7].strip() == "100.0 %"
    assert rows["full supervision"][8].strip() == "100.0 to 100.0"
    assert "Best weak recipe" in shown
    written = tmp_path / "data/benchmarks/boxes.md"
    assert written.read_text(encoding="utf-8") == shown + "\n"
    monkeypatch.setattr(loop, "train", None)  # whoever computes now fails
    assert benchmark.run(folder, seeds=1, rounds=2) == shown


def test_whole_networks_as_students(folder, tmp_path, monkeypatch):
    """The same table from students that change the backbone: not those of a head alone."""
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(benchmark, "SEEN", 64)
    monkeypatch.setattr(benchmark, "RECIPES", {name: RECIPES[name] for name in ("naive", "full")})
    options = {"head": "linear", "epochs": 2, "lr": 1e-2, "batch": 2, "crop": 64}
    monkeypatch.setattr(benchmark, "WHOLE", options | {"finetune": True})
    shown = benchmark.run(folder, seeds=1, rounds=1, finetune=True)
    assert "whole networks" in shown.splitlines()[0]
    options.pop("crop")
    monkeypatch.setattr(benchmark, "STUDENT", options)
    alone = benchmark.run(folder, seeds=1, rounds=1)
    assert "frozen features" in alone.splitlines()[0]
    assert shown.splitlines()[-2:] != alone.splitlines()[-2:]


def history(recipe, *ious, pictures=1):
    """A run whose students have these IoU, of one class as of the other."""
    quality = LabelQuality(*np.full((4, 2), 0.5))
    counts = [
        np.tile(np.array([[round(1000 * iou)] * 2] * 2 + [[1000] * 2]), (pictures, 1, 1)) for iou in ious
    ]
    rounds = [Round(quality, c, (0.8, iou), "", [], []) for c, iou in zip(counts, ious, strict=True)]
    return [History(recipe, (), 0, rounds)]


@pytest.mark.parametrize(
    ("box", "agreed", "said"),
    [
        (
            (0.40, 0.42),
            0.48,
            ["Naive < Box; Box < GrabCut+; GrabCut+ < M∩G+", "+2.0", "M∩G+, 96.0 %", "at least"],
        ),
        ((0.42, 0.40), 0.43, ["GrabCut+ not < M∩G+", "-2.0", "GrabCut+, 90.0 %", "under"]),
    ],
    ids=["as in the paper", "not so"],
)
def test_what_the_table_says_of_itself(box, agreed, said):
    last = {
        "naive": (0.39,),
        "box": box,
        "grabcut_plus": (0.45,),
        "mcg_and_grabcut_plus": (agreed,),
        "full": (0.5,),
    }
    rows = {
        recipe: benchmark.row(recipe, history(recipe, *last.get(recipe, (0.1,))), None) for recipe in RECIPES
    }
    text = "\n".join(benchmark._targets(rows)).replace("%", " %")
    for words in said:
        assert words in text


def test_the_interval_is_that_of_drawing_pictures_anew(monkeypatch):
    """By hand: each draw's pictures are copied, their counts added, class IoU averaged."""
    rng = np.random.default_rng(3)
    true, named = rng.integers(50, 100, (2, 2, 9, 1, 3))
    counts = np.concatenate([rng.integers(1, 50, (2, 9, 1, 3)), named, true], 2)
    monkeypatch.setattr(benchmark, "DRAWS", 50)
    often = np.random.default_rng(0).multinomial(9, np.full(9, 1 / 9), 50)
    values = []
    for draw in often:
        right, labelled, there = np.repeat(counts, draw, 1).sum(1).transpose(1, 0, 2)
        values.append((right / (labelled + there - right)).mean())
    low, high = benchmark.interval(counts)
    assert (low, high) == pytest.approx(tuple(np.quantile(values, (0.025, 0.975))))
    assert benchmark.interval(counts, counts) == pytest.approx((1, 1))


def test_a_row_says_what_the_runs_say():
    row = benchmark.row("box", history("box", 0.4, 0.5, pictures=3), history("full", 0.8, pictures=3))
    assert row["mean"] == pytest.approx(0.5)
    assert row["share_of_full"] == pytest.approx(0.625)
    assert row["interval"] == pytest.approx((0.5, 0.5))
    assert row["share_interval"] == pytest.approx((0.625, 0.625))
    assert row["found"] == {"0.5": 0.8, "0.75": 0.5}
    assert row["found_share_of_full"] == pytest.approx([1, 0.625])


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="VOC"):
        benchmark.run(tmp_path)
