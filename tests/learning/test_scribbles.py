"""Losses of scribbles against pairs counted one by one and finite differences; strokes against the truth."""

import itertools

import numpy as np
import pytest
import torch

from lecturekit.datasets import scenes
from lecturekit.learning.scribbles import (
    affinity,
    crf_loss,
    normalised_cut_loss,
    partial_cross_entropy,
    scribble_seconds,
    simulate_scribbles,
    spread_labels,
)
from lecturekit.metrics import label_quality
from lecturekit.pixels.crf import Pairwise, energy, kernel_matrix

LOSSES = (crf_loss, normalised_cut_loss)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def kernel():
    half = random(2, 6, 6, seed=1).abs()
    return half + half.mT


def test_partial_cross_entropy_counts_only_what_is_labelled():
    logits = random(1, 3, 2, 2)
    shares = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    shares[0, 2, 0, 0] = 1
    shares[0, :2, 1, 1] = torch.tensor([0.5, 0.25])
    log = logits.log_softmax(1)[0]
    wanted = -(log[2, 0, 0] + 0.5 * log[0, 1, 1] + 0.25 * log[1, 1, 1]) / 1.75
    assert partial_cross_entropy(logits, shares).item() == pytest.approx(wanted.item(), rel=1e-5)
    assert partial_cross_entropy(logits, 0 * shares).item() == 0


def test_affinity_is_the_gaussian_of_every_pair():
    f = random(1, 2, 2, 3)
    rows = f[0].flatten(1).T
    matrix = affinity(f, torch.tensor([0.5, 2.0]))[0]
    for i, j in itertools.product(range(6), repeat=2):
        apart = (rows[i] - rows[j]) / torch.tensor([0.5, 2.0], dtype=torch.float64)
        wanted = 0.0 if i == j else torch.exp(-apart.square().sum() / 2).item()
        assert matrix[i, j].item() == pytest.approx(wanted)


def test_crf_loss_is_the_sum_over_pairs(kernel):
    logits = random(2, 3, 2, 3)
    s = logits.softmax(1).flatten(2)
    total = sum(
        kernel[b, i, j] * s[b, k, i] * (1 - s[b, k, j])
        for b, k, i, j in itertools.product(range(2), range(3), range(6), range(6))
    )
    assert torch.allclose(crf_loss(logits, kernel), total / 12)


def test_crf_loss_of_a_sure_answer_is_twice_the_crfs_energy():
    image = np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)
    labels = torch.from_numpy(np.random.default_rng(1).integers(0, 3, (3, 4)))
    logits = 60 * torch.nn.functional.one_hot(labels, 3).permute(2, 0, 1)[None].float()
    options = {"theta_alpha": 2.0, "theta_beta": 60.0, "theta_gamma": 1.0, "normalisation": "none"}
    matrix = kernel_matrix(image, self_message=False, **options)[None]
    wanted = energy(labels, torch.zeros(3, 3, 4), image, self_message=False, exact=True, **options)
    assert crf_loss(logits, matrix).item() * 12 == pytest.approx(2 * wanted.item(), rel=1e-5)


def test_normalised_cut_is_the_quotient_written_out(kernel):
    logits = random(2, 3, 2, 3)
    s = logits.softmax(1).flatten(2)
    total = 0.0
    for b, k in itertools.product(range(2), range(3)):
        cut = s[b, k] @ kernel[b] @ (1 - s[b, k])
        total += (cut / (kernel[b].sum(1) @ s[b, k])).item()
    assert normalised_cut_loss(logits, kernel).item() == pytest.approx(total / 2)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_agree_with_finite_differences(loss, kernel):
    logits = random(2, 3, 2, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, kernel), [logits])


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_on_the_lattice_agree_with_finite_differences(loss):
    image = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    lattice = Pairwise(image, theta_alpha=3.0, theta_beta=40.0, theta_gamma=1.0)
    logits = random(1, 2, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, lattice), [logits], eps=1e-4, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_lies_beyond_an_image_pays_nothing(loss):
    f, logits = random(1, 3, 3, 4), random(1, 2, 3, 4, seed=2)
    inside = torch.zeros(1, 3, 4, dtype=torch.bool)
    inside[:, :2, :3] = True
    cut = loss(logits[:, :, :2, :3], affinity(f[:, :, :2, :3]))
    assert torch.allclose(loss(logits, affinity(f, 1.0, inside), inside), cut)


def test_one_class_alone_is_no_cut(kernel):
    logits = torch.zeros(2, 2, 2, 3, dtype=torch.float64)
    logits[:, 0] = 90
    assert crf_loss(logits, kernel).item() == pytest.approx(0, abs=1e-9)
    assert normalised_cut_loss(logits, kernel).item() == pytest.approx(0, abs=1e-9)


def test_strokes_stay_in_their_regions_and_more_strokes_draw_more():
    for i in range(4):
        scene = scenes.scene(i, size=160)
        few = simulate_scribbles(scene.mask, scene.boxes, scene.classes)
        many = simulate_scribbles(
            scene.mask, scene.boxes, scene.classes, strokes=2, background_strokes=4, width=3
        )
        for labels in (few, many):
            assert (labels[labels != 255] == scene.mask[labels != 255]).all()
            assert set(np.unique(labels)) - {255} >= set(scene.classes.tolist())
        assert (many[few != 255] != 255).mean() > 0.8
        assert (many == 0).sum() > 1.2 * (few == 0).sum()


def test_shorter_strokes_are_shorter():
    mask = np.zeros((40, 120), np.uint8)
    mask[15:25, 10:110] = 1
    lengths = [
        (simulate_scribbles(mask, [[10, 15, 110, 25]], [1], length=k, width=1) == 1).sum() for k in (0.2, 0.8)
    ]
    assert lengths[1] == pytest.approx(4 * lengths[0], rel=0.2)


def test_no_strokes_mean_no_labels():
    labels = simulate_scribbles(np.zeros((9, 9), np.uint8), [], [], background_strokes=0)
    assert (labels == 255).all()


def test_strokes_cost_seconds():
    assert scribble_seconds(3, 2, 1) - scribble_seconds(3, 1, 1) == pytest.approx(3 * 3.6)


@pytest.mark.parametrize("method", ["walker", "grabcut"])
def test_labels_spread_over_two_flat_halves(method):
    rng = np.random.default_rng(0)
    image = np.full((24, 32, 3), 60, np.uint8)
    image[:, 16:] = (200, 90, 40)
    image = (image + rng.integers(0, 20, image.shape)).astype(np.uint8)
    truth = np.zeros((24, 32), np.uint8)
    truth[:, 16:] = 5
    strokes = np.full((24, 32), 255, np.uint8)
    strokes[4:20, 5], strokes[4:20, 26] = 0, 5
    found = spread_labels(image, strokes, method)
    assert label_quality(found, truth, 6).mean_iou > 0.95
    assert (found[strokes != 255] == strokes[strokes != 255]).all()


def test_one_class_alone_spreads_everywhere():
    strokes = np.full((8, 8), 255, np.uint8)
    strokes[3, 3] = 2
    assert (spread_labels(np.zeros((8, 8, 3), np.uint8), strokes) == 2).all()
