"""The three losses of SEC and their pooling against sums written out, and the CRF against `pixels.crf`."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lecturekit.learning.seed_expand import (
    constrain_loss,
    crf_belief,
    crf_kernel,
    expand_loss,
    find_seeds,
    global_weighted_rank_pool,
    rescaled_decay,
    seed_loss,
)
from lecturekit.pixels.crf import kernel_matrix, mean_field


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@settings(deadline=None)
@given(st.floats(0, 1), st.integers(0, 100))
def test_rank_pooling_is_the_weighted_mean_written_out(decay, seed):
    maps = random(2, 3, 2, 4, seed=seed)
    pooled = global_weighted_rank_pool(maps, decay)
    for b in range(2):
        for k in range(3):
            values = sorted(maps[b, k].flatten().tolist(), reverse=True)
            weights = [decay**j for j in range(8)]
            wanted = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
            assert pooled[b, k].item() == pytest.approx(wanted, abs=1e-9)


def test_decay_1_is_the_mean_and_decay_0_the_maximum():
    maps = random(2, 3, 4, 5)
    assert torch.allclose(global_weighted_rank_pool(maps, 1), maps.mean((2, 3)))
    assert torch.allclose(global_weighted_rank_pool(maps, 0), maps.amax((2, 3)))
    both = global_weighted_rank_pool(maps, torch.tensor([0.0, 1.0, 0.5]))
    assert torch.allclose(both[:, 0], maps[:, 0].amax((1, 2)))
    assert torch.allclose(both[:, 1], maps[:, 1].mean((1, 2)))


def test_rank_pooling_leaves_out_what_lies_beyond_an_image():
    maps, inside = random(2, 3, 4, 5), torch.zeros(2, 4, 5, dtype=torch.bool)
    inside[:, :3, :2] = True
    cut = global_weighted_rank_pool(maps[:, :, :3, :2], 0.7)
    assert torch.allclose(global_weighted_rank_pool(maps, 0.7, inside), cut)


def test_rank_pooling_has_a_gradient_everywhere():
    assert torch.autograd.gradcheck(
        lambda m: global_weighted_rank_pool(m, 0.8), [random(1, 2, 2, 3).requires_grad_()]
    )


def test_a_rescaled_decay_pools_the_same_share_of_a_map():
    fine = torch.linspace(1, 0, 1681).reshape(1, 1, 41, 41)
    coarse = torch.linspace(1, 0, 196).reshape(1, 1, 14, 14)
    a = global_weighted_rank_pool(fine, 0.996).item()
    b = global_weighted_rank_pool(coarse, rescaled_decay(0.996, 196)).item()
    assert a == pytest.approx(b, abs=0.01)


def test_seeds_are_strong_evidence_over_empty_background():
    maps = np.zeros((4, 2, 3))
    maps[1] = [[1.0, 0.6, 0.6], [0.0, 0.0, 0.0]]
    maps[2] = [[0.0, 0.0, 2.0], [0.0, 0.9, 0.0]]
    maps[3] = 9.0  # absent, so never a seed
    rank = np.array([[0.0, 0.1, 1.0], [0.1, 0.2, 0.9]])
    seeds = find_seeds(maps, [True, True, True, False], rank)
    assert seeds.tolist() == [[1, 1, 2], [0, 0, 255]]  # class 2 has one seed, class 1 three: 2 is in front


def test_a_class_without_evidence_has_no_seeds():
    assert (find_seeds(-np.ones((2, 2, 2)), [True, True]) == 255).all()


def test_seed_loss_is_the_mean_over_seeds():
    logits = random(1, 3, 1, 4)
    seeds = torch.tensor([[[0, 0, 2, 255]]])
    log = logits.log_softmax(1)[0, :, 0]
    assert torch.allclose(seed_loss(logits, seeds), -(log[0, 0] + log[0, 1] + log[2, 2]) / 3)
    balanced = -(log[0, 0] + log[0, 1]) / 2 - log[2, 2]
    assert torch.allclose(seed_loss(logits, seeds, balanced=True), balanced)
    assert seed_loss(logits, torch.full((1, 1, 4), 255)).item() == 0


def test_expand_loss_is_the_sum_written_out():
    logits = random(1, 4, 3, 3)
    f = logits.softmax(1)[0].flatten(1)
    present = torch.tensor([[True, True, False, True]])

    def pooled(values, decay):
        weights = torch.tensor([decay**j for j in range(9)], dtype=torch.float64)
        return (weights * values.sort(descending=True).values).sum() / weights.sum()

    decay, background = 0.996 ** (1681 / 9), 0.999 ** (1681 / 9)
    wanted = -(pooled(f[1], decay).log() + pooled(f[3], decay).log()) / 2
    wanted = wanted - (1 - f[2].max()).log() - pooled(f[0], background).log()
    assert torch.allclose(expand_loss(logits, present), wanted, rtol=1e-5)


def test_constrain_loss_is_the_divergence_and_has_no_gradient_through_the_belief():
    logits = random(1, 3, 2, 2).requires_grad_()
    q = random(1, 3, 2, 2, seed=1).softmax(1).requires_grad_()
    loss = constrain_loss(logits, q)
    f = logits.softmax(1)
    assert torch.allclose(loss, (q * (q / f).log()).sum(1).mean())
    loss.backward()
    assert q.grad is None
    # the gradient of KL(Q || softmax(z)) is f - Q
    assert torch.allclose(logits.grad, (f - q).detach() / 4)


def test_the_kernel_is_that_of_the_crf():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    ours = crf_kernel(
        torch.from_numpy(image).permute(2, 0, 1)[None].float(), theta_alpha=0.5, theta_beta=40.0
    )
    wanted = kernel_matrix(image, theta_alpha=0.5 * 7, theta_beta=40.0, theta_gamma=0.7)
    assert torch.allclose(ours[0], wanted, atol=1e-4)


def test_the_belief_is_mean_field_of_the_allowed_classes():
    image = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    kernel = crf_kernel(torch.from_numpy(image).permute(2, 0, 1)[None].float(), theta_alpha=0.5)
    logits = random(1, 3, 4, 6).float()
    whole = mean_field(
        -logits.log_softmax(1),
        image[None],
        iterations=5,
        exact=True,
        theta_alpha=3.0,
        theta_beta=10,
        theta_gamma=0.7,
    )
    assert torch.allclose(crf_belief(logits, kernel), whole, atol=1e-4)
    some = crf_belief(logits, kernel, torch.tensor([[False, True, False]]))
    assert some[:, 2].max() == 0
    assert torch.allclose(some.sum(1), torch.ones(1, 4, 6))
    two = mean_field(
        -logits[:, :2].log_softmax(1),
        image[None],
        iterations=5,
        exact=True,
        theta_alpha=3.0,
        theta_beta=10,
        theta_gamma=0.7,
    )
    assert torch.allclose(some[:, :2], two, atol=1e-4)


def test_cells_beyond_an_image_change_nothing():
    colours = torch.randint(0, 256, (1, 3, 5, 6), generator=torch.Generator().manual_seed(0)).float()
    inside = torch.zeros(1, 5, 6, dtype=torch.bool)
    inside[:, :, :4] = True
    logits = random(1, 3, 5, 6).float()
    reach = 0.5
    whole = crf_belief(logits, crf_kernel(colours, inside, theta_alpha=reach * 5 / 6))[..., :4]
    cut = crf_belief(logits[..., :4], crf_kernel(colours[..., :4], theta_alpha=reach))
    assert torch.allclose(whole, cut, atol=1e-4)


@pytest.mark.parametrize("decay", [-0.1, 1.1])
def test_a_decay_out_of_range_is_refused(decay):
    with pytest.raises(ValueError, match=r"decay must lie in 0\.\.1"):
        global_weighted_rank_pool(torch.zeros(1, 1, 2, 2), decay)
