"""The student: what it learns from labels, and a training that goes on to the same weights after a stop."""

import numpy as np
import pytest
import torch

from lecturekit.learning import features as frozen
from lecturekit.learning import training
from lecturekit.learning.heads import HEADS
from lecturekit.learning.training import Settings, Student, label_shares, train

pytestmark = pytest.mark.usefixtures("one_thread", "own_folder")


def test_shares_are_what_a_cell_holds(small):
    found, masks = small
    labels = [m.copy() for m in masks]
    labels[0][:8, :8] = 255  # the first cell: 8 x 8 pixels
    labels[1][:8, :4] = 1  # half of the first cell
    shares = label_shares(labels, found, 2)
    assert shares.shape == (3, 2, 8, 8)
    assert shares[0, :, 0, 0].tolist() == [0, 0]
    assert shares[1, :, 0, 0].tolist() == [0.5, 0.5]
    assert shares[0, :, 0, 7].tolist() == [0, 1]
    assert not shares[0, :, 6:].any()


def test_the_loss_in_closed_form():
    """One cell of two classes: weights times shares times -log p, over the weighted shares."""
    logits = torch.tensor([2.0, 0.0]).reshape(1, 2, 1, 1)
    target = torch.tensor([0.25, 0.5]).reshape(1, 2, 1, 1)
    p = torch.tensor([2.0, 0.0]).softmax(0)
    wanted = -(0.25 * 1 * p[0].log() + 0.5 * 3 * p[1].log()) / (0.25 * 1 + 0.5 * 3)
    found = training.cross_entropy(logits, target, torch.tensor([1.0, 3.0]))
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)


QUICK = {"epochs": 8, "lr": 0.02, "batch": 2, "hidden": 16, "device": "cpu"}


@pytest.mark.parametrize("kind", HEADS)
def test_a_student_learns_two_halves(small, kind):
    found, masks = small
    student = train(found, masks, 2, head=kind, **QUICK)
    for labels, mask in zip(student.labels(found), masks, strict=True):
        assert labels.dtype == np.uint8
        assert labels.shape == mask.shape
        assert (labels == mask).mean() > 0.9
    for p in student.probabilities(found):
        np.testing.assert_allclose(p.sum(0), 1, atol=1e-5)


def test_thin_cells_and_their_targets_belong_together(small):
    """Features and targets of a thinned step are those of the same cells; a thinned student learns as "
    "well."""
    found, masks = small
    shares = label_shares(masks, found, 2)
    torch.manual_seed(0)
    batch = training.Batch(found, torch.tensor([2, 0]), 3, 0.0, torch.device("cpu"))
    x, wanted = batch.thinned(shares[[2, 0]])
    torch.manual_seed(0)
    row, column = torch.randint(3, (2,)).tolist()
    np.testing.assert_array_equal(x, found.values[[2, 0], :, row::3, column::3].astype("f4"))
    assert torch.equal(wanted, shares[[2, 0], :, row::3, column::3])
    student = train(found, masks, 2, stride=2, head="two_layer", **(QUICK | {"epochs": 20}))
    assert all((a == b).mean() > 0.9 for a, b in zip(student.labels(found), masks, strict=True))
    with pytest.raises(ValueError, match="stride"):
        train(found, masks, 2, stride=2, head="context", **QUICK)


def test_ignored_pixels_teach_nothing(small):
    """Whatever a pixel of label 255 shows, the student is the same; and wrong labels there would matter."""
    found, masks = small
    holes, wrong = [m.copy() for m in masks], [m.copy() for m in masks]
    for one, two in zip(holes, wrong, strict=True):
        one[:, 40:], two[:, 40:] = 255, 0
    student = train(found, holes, 2, **QUICK)
    assert (student.labels(found)[0][:, 40:] == 1).mean() > 0.9
    assert student.fingerprint() != train(found, wrong, 2, **QUICK).fingerprint()
    only = label_shares(holes, found, 2)
    assert only[0].sum() == pytest.approx(6 * 5)  # five of eight columns of cells


def test_the_same_seed_gives_the_same_student(small):
    """Whatever state the world's random numbers are in, and they are left as they were."""
    found, masks = small
    torch.manual_seed(5)
    before = torch.get_rng_state()
    student = train(found, masks, 2, seed=3, **QUICK).fingerprint()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert train(found, masks, 2, seed=3, **QUICK).fingerprint() == student
    assert train(found, masks, 2, seed=4, **QUICK).fingerprint() != student


def test_class_weights(small):
    """A class of weight 0 is not learned; all weights times two change nothing."""
    found, masks = small
    none = train(found, masks, 2, class_weights=[1, 0], **QUICK)
    assert not any(labels.any() for labels in none.labels(found))
    a, b = (train(found, masks, 2, class_weights=[w, w], head="linear", **QUICK) for w in (1, 2))
    for p, q in zip(a.probabilities(found), b.probabilities(found), strict=True):
        np.testing.assert_allclose(p, q, atol=1e-4)


@pytest.mark.parametrize("stop", [1, 5])
def test_a_stopped_training_goes_on_to_the_same_weights(small, tmp_path, monkeypatch, stop):
    found, masks = small
    wanted = train(found, masks, 2, **QUICK).fingerprint()
    file, save, calls = tmp_path / "student.pt", training.Training.save, []

    def once_too_often(*arguments):
        save(*arguments)
        calls.append(1)
        if len(calls) == stop:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Training, "save", once_too_often)
    with pytest.raises(KeyboardInterrupt):
        train(found, masks, 2, checkpoint=file, **QUICK)
    assert file.exists()
    monkeypatch.setattr(training.Training, "save", lambda *arguments: calls.append(2))
    assert train(found, masks, 2, checkpoint=file, **QUICK).fingerprint() == wanted
    assert calls.count(2) == QUICK["epochs"] - stop  # it did go on, and did not begin anew
    assert not file.exists()


def test_a_checkpoint_of_another_training_is_not_used(small, tmp_path):
    found, masks = small
    file = tmp_path / "student.pt"
    file.write_bytes(b"no checkpoint")
    with pytest.warns(UserWarning, match="begins anew"):
        student = train(found, masks, 2, checkpoint=file, **QUICK)
    assert student.fingerprint() == train(found, masks, 2, **QUICK).fingerprint()


def test_the_whole_network_trains_by_one_switch(small):
    """A tiny run: the trunk changes, its batch statistics do not, and the first answer is the frozen one."""
    found, masks = small
    options = {"head": "linear", "epochs": 1, "batch": 3, "device": "cpu", "lr": 1e-3}
    student = train(found, masks, 2, finetune=True, **options)
    assert student.whole
    fresh = frozen.Backbone(frozen.load_classifier(device="cpu").network).state_dict()
    tuned = student.module.backbone.state_dict()
    name = "blocks.6.0.conv_pw.weight"
    assert not torch.equal(tuned[name], fresh[name])
    assert torch.equal(tuned["stem.1.running_mean"], fresh["stem.1.running_mean"])
    untouched = training._module(
        found, 2, Settings(**{k: v for k, v in options.items() if k != "device"}), 0, torch.device("cpu")
    )
    whole = training._module(found, 2, Settings(head="linear", finetune=True), 0, torch.device("cpu"))
    before, tuned_before = Student(untouched, 2, False), Student(whole, 2, True)
    for p, q in zip(before.probabilities(found), tuned_before.probabilities(found), strict=True):
        np.testing.assert_allclose(p, q, atol=0.02)  # features are kept in half precision


@pytest.mark.parametrize(
    ("change", "error", "word"),
    [
        ({"labels": 2}, ValueError, "one a picture"),
        ({"dtype": np.int64}, TypeError, "uint8"),
        ({"value": 7}, ValueError, r"0\.\.1 or 255"),
        ({"value": 255}, ValueError, "at least one pixel"),
        ({"head": "deep"}, ValueError, "head must be one of"),
        ({"epochs": 0}, ValueError, "epochs"),
        ({"lr": float("nan")}, ValueError, "lr"),
        ({"seed": -1}, ValueError, "seed"),
        ({"class_weights": [1.0]}, ValueError, "class_weights"),
        ({"device": "no such"}, ValueError, "wanted"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_bad_arguments_are_named(small, change, error, word):
    found, masks = small
    change = dict(change)
    labels = [np.full_like(m, change.get("value", 0)) for m in masks][: change.pop("labels", 3)]
    labels = [m.astype(change.get("dtype", np.uint8)) for m in labels]
    change.pop("value", None), change.pop("dtype", None)
    with pytest.raises(error, match=word):
        train(found, labels, 2, **(QUICK | change))
