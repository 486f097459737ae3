"""Experiments as resumable steps: what they are, what they will take, and what must not be compared."""

from dataclasses import replace

import made_voc
import numpy as np
import pytest
from support import VOC as PHOTOGRAPHS
from typer.testing import CliRunner

from lecturekit.benchmarks import _results, boxes
from lecturekit.kit import cache as disk
from lecturekit.learning.bootstrap import PAPER_IOU
from lecturekit.reproduce import dry_run, planned, reproduce
from lecturekit.reproduce import run as running
from lecturekit.reproduce.budget import CRF_SECONDS, SECONDS
from lecturekit.reproduce.grid import PAPER_TRAIN, PAPER_VAL, SIMPLE_DOES_IT, Step
from lecturekit.reproduce.table import reasons, table
from lecturekit.upkeep import cli

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(boxes, "DRAWS", 20)


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """A folder with the paper's lists, and no pictures: enough to plan with."""
    counts = {"trainaug": PAPER_TRAIN, "val": PAPER_VAL, "train": 100}
    lists = {name: [f"{name}_{k}" for k in range(count)] for name, count in counts.items()}
    return made_voc.empty(tmp_path_factory.mktemp("voc"), **lists)


def answered(run, best=0.9):
    """Pretend that every step is done: full supervision is right on the share `best` of each class."""
    for step in run.steps:
        if step.kind == "answers":
            share = best if step.recipe == "full" else best * (0.8 + 0.02 * step.seed)
            one = np.array([[int(1000 * share)], [1000], [1000]]).repeat(21, 1)
            disk.write(run.place(step), str(step), counts=np.repeat(one[None], len(run.val), 0))
        run.marker(step).parent.mkdir(parents=True, exist_ok=True)
        run.marker(step).touch()


def test_the_grid_has_every_student_once_and_labels_before_it(paper, tmp_path):
    run = planned("simple-does-it", paper, tmp_path, False, {})
    students = [step for step in run.steps if step.kind == "student"]
    rounds = {"naive": 3, "box": 3, "box_inner": 3}
    assert len(students) == len(set(students)) == 3 * sum(rounds.get(r, 1) for r in SIMPLE_DOES_IT.recipes)
    for k, step in enumerate(run.steps):
        before = run.steps[:k]
        if step.kind == "student" and step.round > 1:
            assert replace(step, kind="relabel", round=step.round - 1) in before
        elif step.kind == "student" and step.recipe != "full":
            assert Step("labels", step.recipe) in before
        elif step.kind in ("answers", "relabel"):
            assert replace(step, kind="student") in before


def test_the_papers_recipes_and_settings_are_declared():
    assert set(PAPER_IOU) <= set(SIMPLE_DOES_IT.recipes)
    settings = SIMPLE_DOES_IT.settings
    assert (settings["batch"], settings["drop_after"], settings["network"]) == (30, 2000, "vgg16_largefov")


def test_a_dry_run_starts_nothing_and_adds_up(paper, tmp_path):
    arguments = ["reproduce", "simple-does-it", "--data", str(paper), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli.app, [*arguments, "--dry-run", "--tflops", "10"])
    assert result.exit_code == 0, result.output
    assert not (tmp_path / "out").exists()
    lines = result.output.splitlines()
    assert "10,582 training pictures (trainaug), 1,449 validation pictures (val)" in lines[0]
    steps = [line.split() for line in lines if line.endswith(" GPU-h")]
    core = sum(float(words[-4]) for words in steps)
    gpu = sum(float(words[-2]) for words in steps)
    (left,) = [line for line in lines if line.startswith("Left: ")]
    assert float(left.split()[1].replace(",", "")) == pytest.approx(core, rel=0.01)
    assert float(left.split()[3].replace(",", "")) == pytest.approx(gpu, rel=0.01)
    (mcg,) = [words for words in steps if words[:2] == ["labels", "mcg"]]
    assert float(mcg[-4]) == pytest.approx(SECONDS["mcg"] * PAPER_TRAIN / 3600, abs=0.01)
    assert "Nothing has been started" in result.output


def test_what_is_done_is_not_counted(paper, tmp_path):
    run = planned("simple-does-it", paper, tmp_path, False, {})
    answered(run)
    text = dry_run(run)
    assert f"{len(run.steps)} steps, {len(run.steps)} of them done" in text
    assert "Left: 0.0 core-hours, 0.0 GPU-hours" in text


def test_costs_are_those_that_were_measured():
    rows = {row["recipe"]: row["seconds"] for row in _results.load("labels")["rows"]}
    for recipe, seconds in SECONDS.items():
        assert seconds == pytest.approx(rows[recipe], rel=0.02, abs=1e-4)
    assert pytest.approx(rows[None], rel=0.02) == CRF_SECONDS


def test_the_papers_figures_are_compared_only_where_they_may_be(paper, tmp_path):
    settings = {"weights": "vgg16-397923af.pth"}
    run = planned("simple-does-it", paper, tmp_path, False, settings)
    answered(run)
    assert reasons(run) == []
    text = table(run)
    assert "Not comparable" not in text
    (row,) = [line for line in text.splitlines() if line.startswith("| Box |")]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    iou = 100 * np.mean([v / (2 - v) for v in (0.72, 0.738, 0.756)])  # right of 1000 named and 1000 true
    assert cells[1].split(", ")[-1] == f"{iou:.1f}"
    assert cells[6:8] == ["61.2", "88.6 %"]
    assert cells[8] == f"{iou - 61.2:+.1f}"
    assert float(cells[4].split()[0]) == pytest.approx(iou / (0.9 / 1.1), abs=0.1)


@pytest.mark.parametrize(
    ("settings", "splits", "word"),
    [
        ({}, None, "random weights"),
        ({"network": "fcn_resnet50"}, None, "another network"),
        ({"weights": "x.pth"}, ("train", "val"), "100 training pictures, where the paper has 10,582"),
        ({"weights": "x.pth"}, ("trainaug", "train"), "100 validation pictures, where the paper has 1,449"),
    ],
    ids=["random", "network", "train", "val"],
)
def test_what_is_not_comparable_is_said_and_not_subtracted(paper, tmp_path, settings, splits, word):
    run = planned("simple-does-it", paper, tmp_path, False, settings)
    if splits is not None:
        run.plan = replace(run.plan, splits=splits)
    answered(run)
    text = table(run)
    assert "Not comparable" in text
    assert word in text
    assert "difference" not in text


def test_a_folder_without_trainaug_is_learned_from_by_its_train_list(paper, tmp_path):
    voc = made_voc.empty(tmp_path / "voc", train="a", val="b")
    run = planned("simple-does-it", voc, tmp_path, False, {})
    assert run.plan.splits == ("train", "val")


def test_another_experiment_or_setting_is_refused(paper, tmp_path):
    with pytest.raises(ValueError, match="experiment must be one of 'simple-does-it'"):
        planned("sec", paper, tmp_path, False, {})
    with pytest.raises(ValueError, match="network must be one of"):
        planned("simple-does-it", paper, tmp_path, False, {"network": "alexnet"})


@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason=f"there are no photographs at {PHOTOGRAPHS}")
def test_a_quick_run_goes_on_after_a_break_and_ends_in_a_table(tmp_path, monkeypatch):
    """Every kind of step on a few photographs; what was done before the break is not done again."""
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "own"))
    learn, taught = running.finetune, []

    def breaking(*arguments, **options):
        taught.append(options["key"])
        if len(taught) == 3:
            raise KeyboardInterrupt
        return learn(*arguments, **options)

    monkeypatch.setattr(running, "finetune", breaking)
    options = {"quick": True, "device": "cpu"}
    with pytest.raises(KeyboardInterrupt):
        reproduce("simple-does-it", PHOTOGRAPHS, tmp_path / "out", **options)
    text = reproduce("simple-does-it", PHOTOGRAPHS, tmp_path / "out", **options)
    assert len(taught) == 5  # four students, one of them begun twice
    assert taught[2] == taught[3]
    assert (tmp_path / "out" / "table.md").read_text() == text + "\n"
    assert "Not comparable" in text
    assert text.count("\n| ") == 4  # the head and three recipes
    assert not list((tmp_path / "out").rglob("*.checkpoint"))
    assert not list((tmp_path / "out").rglob("*-of-*"))
    again = reproduce("simple-does-it", PHOTOGRAPHS, tmp_path / "out", **options)
    assert again == text
    assert len(taught) == 5
