"""Localisers from image labels: losses written out, and scenes of two halves of which one is the class."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lecturekit.learning.features import Features, Pictures, features
from lecturekit.learning.self_transfer import (
    SelfTransfer,
    WholeLocaliser,
    class_maps,
    moving_alpha,
    train_localiser,
    transfer_loss,
)


def test_the_loss_is_the_weighted_sum_of_both():
    rng = torch.Generator().manual_seed(0)
    scores, pooled = torch.randn(2, 4, generator=rng), torch.randn(2, 4, generator=rng)
    present = torch.tensor([[True, True, False, False], [True, False, True, True]])
    parts = [F.binary_cross_entropy_with_logits(z[:, 1:], present[:, 1:].float()) for z in (scores, pooled)]
    for alpha in (0.0, 0.3, 1.0):
        wanted = (1 - alpha) * parts[0] + alpha * parts[1]
        assert torch.allclose(transfer_loss(scores, pooled, present, alpha), wanted)


def test_the_classifier_sees_the_mean_of_an_images_own_cells():
    module = SelfTransfer(3, 2, trunk=0)
    x = torch.randn(1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    inside = torch.zeros(1, 4, 5, dtype=torch.bool)
    inside[:, :2] = True
    wanted = module.classifier(x[:, :, :2].mean((2, 3)))
    assert torch.allclose(module(x, inside)[1], wanted, atol=1e-6)


def test_without_a_trunk_nothing_is_shared():
    module = SelfTransfer(3, 2, trunk=0)
    module(torch.randn(1, 3, 4, 5))[1].sum().backward()
    assert module.localiser.weight.grad is None
    shared = SelfTransfer(3, 2, trunk=4)
    shared(torch.randn(1, 3, 4, 5))[1].sum().backward()
    assert shared.trunk[0].weight.grad.abs().sum() > 0


def _grids(count: int = 32):
    """Grids of 6 x 8 cells: class c lies where channel c is high, in a place of its own in each image."""
    rng = np.random.default_rng(0)
    values = 0.3 * rng.normal(size=(count, 4, 6, 8))
    present = torch.zeros(count, 3, dtype=torch.bool)
    present[:, 0] = True
    places = [[] for _ in range(count)]
    for k in range(count):
        for c in ([], [1], [2], [1, 2])[k % 4]:
            row, column = rng.integers(0, 5), 4 * (c - 1) + rng.integers(0, 3)
            values[k, c, row : row + 2, column : column + 2] += 3
            present[k, c] = True
            places[k].append((c, row, column))
    images = [np.zeros((48, 64, 3), np.uint8)] * count
    mean, matrix = np.zeros(4, np.float32), np.eye(4, dtype=np.float32)
    return Features(values.astype(np.float16), Pictures(images, 64), mean, matrix, "test"), present, places


@pytest.mark.parametrize("options", [{}, {"decay": 1.0}, {"trunk": 8, "alpha": moving_alpha}])
def test_maps_point_at_the_class(options, one_thread):
    seen, present, places = _grids()
    module = train_localiser(seen, present, epochs=30, lr=0.03, batch=4, stride=1, device="cpu", **options)
    hits = []
    for maps, some in zip(class_maps(module, seen), places, strict=True):
        for c, row, column in some:
            y, x = divmod(int(maps[c].argmax()), 8)
            hits.append(row <= y < row + 2 and column <= x < column + 2)
    assert np.mean(hits) > 0.9


def test_the_same_seed_gives_the_same_localiser(one_thread):
    seen, present, _ = _grids(6)
    a, b = (train_localiser(seen, present, epochs=1, seed=3, device="cpu") for _ in range(2))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_image_labels_of_another_kind_are_refused():
    seen, present, _ = _grids(4)
    with pytest.raises(ValueError, match="present must be bool"):
        train_localiser(seen, present.float())


def test_maps_come_at_the_size_asked_for():
    """A map that rises evenly from column to column still does between them."""
    seen, _, _ = _grids(1)
    seen.values[:] = np.arange(8)
    module = SelfTransfer(4, 3, 0)
    (own,), (wide,) = class_maps(module, seen), class_maps(module, seen, [(6, 16)])
    assert (own.shape, wide.shape) == ((3, 6, 8), (3, 6, 16))
    step = (own[:, :, 1] - own[:, :, 0])[:, :, None]
    wanted = own[:, :, :1] + step * (0.5 * torch.arange(1, 15) - 0.25)
    torch.testing.assert_close(wide[:, :, 1:-1], wanted)


def test_the_whole_network_learns_where_it_is_asked_to(one_thread):
    """The localiser's own features: before any step its maps are those of the frozen ones, then all moves."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (32, 40, 3), dtype=np.uint8) for _ in range(4)]
    seen = features(images, side=40, channels=8, device="cpu", cache=False)
    present = torch.tensor([[True, k % 2 == 0, k % 2 == 1] for k in range(4)])
    options = {"trunk": 4, "alpha": moving_alpha, "finetune": True, "epochs": 1, "device": "cpu"}
    still = train_localiser(seen, present, lr=1e-12, weight_decay=0, **options)
    fresh = train_localiser(seen, present, **options)
    assert isinstance(still, WholeLocaliser)
    frozen = list(class_maps(still.head, seen))
    for whole, head in zip(class_maps(still, seen), frozen, strict=True):
        torch.testing.assert_close(whole, head, atol=0.02, rtol=0.02)  # features are kept in 16 bits
    moved = [not torch.equal(p, q) for p, q in zip(fresh.parameters(), still.parameters(), strict=True)]
    assert all(moved)


def test_a_whole_network_takes_every_cell():
    seen, present, _ = _grids(4)
    with pytest.raises(ValueError, match="stride must be 1"):
        train_localiser(seen, present, finetune=True, stride=2)
