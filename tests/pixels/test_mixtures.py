"""Mixtures of Gaussians: closed forms, the densities of torch.distributions, and the ascent of EM."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from lecturekit.pixels.mixtures import MIN_VARIANCE, Mixture, fit_mixture, log_density

pytestmark = pytest.mark.usefixtures("one_thread")


def sample(seed=0, n=400):
    random = np.random.default_rng(seed)
    two = np.concatenate([random.normal(0.2, 0.05, (n, 3)), random.normal((0.8, 0.1, 0.5), 0.1, (n, 3))])
    return torch.tensor(two)[None]


def test_density_is_that_of_torch_distributions():
    random = torch.Generator().manual_seed(0)
    roots = torch.randn(2, 3, 3, 3, generator=random, dtype=torch.float64)
    covariances = roots @ roots.transpose(-1, -2) + 0.1 * torch.eye(3)
    means = torch.randn(2, 3, 3, generator=random, dtype=torch.float64)
    weights = torch.rand(2, 3, generator=random, dtype=torch.float64).softmax(-1)
    colours = torch.randn(2, 7, 3, generator=random, dtype=torch.float64)
    each = MultivariateNormal(means[:, None], covariances[:, None]).log_prob(colours[:, :, None])
    expected = (each + weights.log()[:, None]).logsumexp(-1)
    torch.testing.assert_close(log_density(Mixture(weights, means, covariances), colours), expected)


def test_one_component_is_the_mean_and_the_covariance():
    colours = sample()
    mixture = fit_mixture(colours, torch.ones(1, colours.shape[1], dtype=colours.dtype), components=1)
    torch.testing.assert_close(mixture.means[0, 0], colours[0].mean(0))
    expected = torch.cov(colours[0].T, correction=0) + MIN_VARIANCE * torch.eye(3)
    torch.testing.assert_close(mixture.covariances[0, 0], expected)


def test_two_clouds_are_found():
    colours = sample()
    mixture = fit_mixture(colours, torch.ones(1, 800, dtype=colours.dtype), components=2, steps=20)
    means = mixture.means[0][mixture.means[0, :, 0].argsort()]
    torch.testing.assert_close(means[0], torch.full((3,), 0.2, dtype=means.dtype), atol=0.02, rtol=0)
    torch.testing.assert_close(means[1], torch.tensor([0.8, 0.1, 0.5], dtype=means.dtype), atol=0.02, rtol=0)
    assert mixture.weights[0].tolist() == pytest.approx([0.5, 0.5], abs=0.02)


def test_likelihood_never_falls():
    colours = sample(1)
    share = torch.ones(1, 800, dtype=colours.dtype)
    likelihood = [log_density(fit_mixture(colours, share, 5, steps=k), colours).mean() for k in range(12)]
    # the variance added to each component costs a little
    assert all(later >= earlier - 1e-3 for earlier, later in itertools.pairwise(likelihood))
    assert likelihood[-1] > likelihood[0] + 0.01


def test_going_on_is_the_same_as_going_through():
    colours, share = sample(), torch.ones(1, 800, dtype=torch.float64)
    halfway = fit_mixture(colours, share, 3, steps=4)
    for one, other in zip(
        fit_mixture(colours, share, 3, 6, halfway), fit_mixture(colours, share, 3, 10), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_a_pixel_of_no_share_does_not_count_and_a_batch_is_its_pictures():
    colours = sample()
    padded = torch.cat([colours, torch.full((1, 50, 3), 9.0, dtype=colours.dtype)], 1)
    share = torch.cat([torch.ones(1, 800), torch.zeros(1, 50)], 1).double()
    other = torch.flip(padded, [2])
    together = fit_mixture(torch.cat([padded, other]), share.expand(2, -1), 3)
    alone = fit_mixture(colours, torch.ones(1, 800, dtype=colours.dtype), 3)
    for batch, single in zip(together, alone, strict=True):
        torch.testing.assert_close(batch[:1], single)


def test_a_share_of_two_is_the_pixel_twice():
    colours = sample(n=30)
    once = fit_mixture(colours, torch.full((1, 60), 2.0, dtype=colours.dtype), 2)
    twice = fit_mixture(torch.cat([colours, colours], 1), torch.ones(1, 120, dtype=colours.dtype), 2)
    for a, b in zip(once, twice, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_colour_gives_a_finite_density(dtype):
    colours = torch.full((1, 40, 3), 0.3, dtype=dtype)
    mixture = fit_mixture(colours, torch.ones(1, 40, dtype=dtype), 5)
    density = log_density(mixture, colours)
    peak = -1.5 * math.log(2 * math.pi * MIN_VARIANCE)
    torch.testing.assert_close(density, torch.full_like(density, peak), atol=0.01, rtol=0)


def test_an_empty_sample_gives_no_nan():
    colours = sample().float()
    assert log_density(fit_mixture(colours, torch.zeros(1, 800), 5), colours).isfinite().all()


@pytest.mark.parametrize(
    ("colours", "share", "words"),
    [
        (torch.full((1, 4, 3), torch.nan), torch.ones(1, 4), "finite"),
        (torch.full((1, 4, 3), torch.inf), torch.ones(1, 4), "finite"),
        (torch.ones(1, 4, 3), torch.full((1, 4), torch.nan), "finite"),
        (torch.ones(1, 4, 3), -torch.ones(1, 4), "at least 0"),
        (torch.ones(1, 4, 3), torch.ones(1, 5), "share"),
        (torch.ones(4, 3), torch.ones(4), "colours must be"),
    ],
)
def test_bad_samples_are_named(colours, share, words):
    with pytest.raises(ValueError, match=words):
        fit_mixture(colours, share)
