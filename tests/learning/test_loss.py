"""Losses of one's own: what a step hands them, and that labelled cells are in every step."""

import numpy as np
import pytest
import torch

from lecturekit.learning.features import Features, Pictures
from lecturekit.learning.training import Batch, cross_entropy, train

pytestmark = pytest.mark.usefixtures("one_thread")
QUICK = {"head": "linear", "epochs": 3, "lr": 0.05, "batch": 2, "device": "cpu"}


@pytest.fixture
def seen():
    """Made-up features of four pictures of two sizes; channel 0 is 1 in the right half and -1 in the left."""
    images = [np.zeros((48, 64, 3), np.uint8)] * 2 + [np.zeros((64, 48, 3), np.uint8)] * 2
    pictures = Pictures(images, 64)
    values = np.zeros((4, 3, 8, 8), np.float16)
    for value, (height, width) in zip(values, pictures.cells, strict=True):
        value[:, :height, :width] = np.random.default_rng(0).normal(0, 0.3, (3, height, width))
        value[0, :height, :width] = np.where(np.arange(width) < width // 2, -1, 1)
    return Features(values, pictures, np.zeros(3, "f4"), np.eye(3, dtype="f4"), "made up")


def nothing(seen):
    return [np.full(tuple(size), 255, np.uint8) for size in seen.pictures.sizes]


def clicked(seen):
    """One pixel of each class a picture."""
    labels = nothing(seen)
    for one in labels:
        one[20, 9], one[20, -9] = 0, 1
    return labels


def test_a_step_hands_over_what_belongs_together(seen):
    batch = Batch(seen, torch.tensor([3, 0]), 3, 0.5, torch.device("cpu"))
    assert batch.x.shape == (2, 3, 8, 8)
    np.testing.assert_array_equal(batch.x[0], seen.values[3].astype("f4"))
    assert batch.inside[0].sum() == 8 * 6
    assert batch.inside[1].sum() == 6 * 8
    assert not batch.x[~batch.inside[:, None].expand_as(batch.x)].any()
    number = torch.arange(2 * 9 * 9).reshape(2, 1, 9, 9)  # larger than the step's grid: cut off
    x, places = batch.thinned(number)
    assert x.shape[-2:] == places.shape[-2:]
    row, column = divmod(int(places[0, 0, 0, 0]), 9)
    np.testing.assert_array_equal(x, batch.x[..., row::3, column::3])
    where = torch.zeros(2, 9, 9, dtype=torch.bool)
    where[0, 2, 5] = where[1, 1, 7] = True
    x, places = batch.cells(where, number)
    assert places.flatten().tolist() == [2 * 9 + 5, 81 + 9 + 7]
    np.testing.assert_array_equal(x[:, :, 0, 0], torch.stack([batch.x[0, :, 2, 5], batch.x[1, :, 1, 7]]))
    assert [len(part) for part in batch.cells(where & False, number)] == [0, 0]


def test_clicked_cells_are_in_every_step_even_when_thinned(seen):
    counts = []

    def loss(module, batch, targets):
        x, wanted = batch.cells(targets.sum(1) > 0, targets)
        counts.append(len(x))
        return cross_entropy(module(x), wanted)

    student = train(seen, clicked(seen), 2, loss=loss, stride=4, **(QUICK | {"epochs": 60}))
    assert set(counts) == {4}  # two clicks in each of two pictures
    for labels in student.labels(seen):
        middle = labels.shape[1] // 2
        assert (labels[:, : middle - 8] == 0).mean() > 0.9
        assert (labels[:, middle + 8 :] == 1).mean() > 0.9


def test_image_labels_alone_can_teach(seen):
    """A loss with rows of its own for each picture, on whole grids, without a single labelled pixel."""
    present = torch.tensor([1.0, 0.0, 1.0, 0.0])
    rows, progress = [], []

    def loss(module, batch, targets):
        rows.extend(batch.pictures.tolist())
        progress.append(batch.done)
        assert not targets.any()
        score = module(batch.x)[:, 1].masked_fill(~batch.inside, -1e4).amax((1, 2))
        return torch.nn.functional.binary_cross_entropy_with_logits(score, present[batch.pictures])

    train(seen, nothing(seen), 2, loss=loss, **QUICK)
    assert sorted(rows) == sorted([0, 1, 2, 3] * 3)
    assert progress == pytest.approx(np.arange(6) / 6)
    with pytest.raises(ValueError, match="at least one pixel"):
        train(seen, nothing(seen), 2, **QUICK)
    with pytest.raises(ValueError, match="class_weights"):
        train(seen, nothing(seen), 2, loss=loss, class_weights=[1, 1], **QUICK)


def test_random_numbers_of_a_loss_are_those_of_the_seed(seen):
    def noisy(module, batch, targets):
        noise = torch.rand(batch.x.shape, generator=batch.rng)
        return cross_entropy(module(batch.x + noise), targets)

    a, b, other = (
        train(seen, clicked(seen), 2, loss=noisy, seed=s, **QUICK).fingerprint() for s in (1, 1, 2)
    )
    assert a == b != other


def test_the_cross_entropy_as_a_loss_is_the_default(seen):
    def same(module, batch, targets):
        x, wanted = batch.thinned(targets)
        return cross_entropy(module(x), wanted)

    options = QUICK | {"stride": 2}
    mine = train(seen, clicked(seen), 2, loss=same, **options)
    assert mine.fingerprint() == train(seen, clicked(seen), 2, **options).fingerprint()


def test_calibration_lowers_what_is_common(seen):
    """tau takes tau x log share off a class's logits; the weights stay as they are."""
    labels = [np.zeros(tuple(size), np.uint8) for size in seen.pictures.sizes]
    for one in labels:
        one[:, -8:] = 1
    share = np.mean([one.mean() for one in labels])
    plain, calibrated = (train(seen, labels, 3, tau=tau, **QUICK) for tau in (0, 0.7))
    assert plain.fingerprint() == calibrated.fingerprint()
    wanted = 0.7 * np.log([1 - share, share, 1])  # the third class does not occur
    np.testing.assert_allclose(calibrated.offset, wanted, atol=1e-3)
    p, q = (next(student.probabilities(seen)) for student in (plain, calibrated))
    shifted = p * np.exp(-wanted)[:, None, None]
    np.testing.assert_allclose(q, shifted / shifted.sum(0), atol=1e-3)
