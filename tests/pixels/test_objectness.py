"""Objectness cues against formulas written out, and on photographs against each other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support import VOC

from lecturekit.datasets.voc import VOC as Folder
from lecturekit.datasets.voc import shrunk
from lecturekit.pixels import objectness


def test_border_contrast_is_the_mahalanobis_distance_to_the_frame():
    x = np.random.default_rng(0).normal(size=(3, 8, 9))
    frame = np.ones((8, 9), bool)
    frame[2:-2, 2:-2] = False
    around = x[:, frame]
    centred = around - around.mean(1, keepdims=True)
    inverse = np.linalg.inv(centred @ centred.T / frame.sum() + 0.5 * np.eye(3))
    apart = x - around.mean(1)[:, None, None]
    distance = np.sqrt(np.einsum("chw,cd,dhw->hw", apart, inverse, apart))
    low, high = np.percentile(distance, (2, 98))
    wanted = np.clip((distance - low) / (high - low), 0, 1)
    assert objectness.border_contrast(x, rim=2, shrinkage=0.5, blur=0) == pytest.approx(wanted, abs=1e-5)


def test_a_flat_picture_has_no_contrast():
    assert not objectness.border_contrast(np.ones((2, 5, 5))).any()


def test_a_rim_wider_than_the_picture_takes_all_of_it():
    assert np.isfinite(
        objectness.border_contrast(np.random.default_rng(0).normal(size=(2, 5, 5)), rim=9)
    ).all()


@settings(deadline=None)
@given(arrays(np.float64, (4, 5), elements=st.integers(-3, 3)))
def test_ranks_keep_the_order_and_lie_in_0_to_1(cue):
    ranks = objectness.rank(cue)
    assert ((ranks >= 0) & (ranks <= 1)).all()
    assert (np.sign(np.subtract.outer(cue, cue)) == np.sign(np.subtract.outer(ranks, ranks))).all()


@settings(deadline=None)
@given(
    arrays(np.float64, (3, 6), elements=st.integers(-2, 2)),
    arrays(np.uint8, (3, 6), elements=st.sampled_from([0, 1, 7, 255])),
)
def test_average_precision_is_scikit_learns(cue, mask):
    metrics = pytest.importorskip("sklearn.metrics")
    ours = objectness.average_precision(cue, mask)
    known = mask != 255
    if not (mask[known] > 0).any():
        assert np.isnan(ours)
    else:
        assert ours == pytest.approx(metrics.average_precision_score(mask[known] > 0, cue[known]))


def test_votes_are_shares_of_the_weight():
    masks = np.zeros((2, 1, 3), bool)
    masks[0, 0, :2] = masks[1, 0, 1:] = True
    assert objectness.proposal_votes(masks, [3, 1]).tolist() == [[0.75, 1.0, 0.25]]


@pytest.mark.parametrize("scores", [[1.0], [-1.0, 2.0], [0.0, 0.0]])
def test_weights_of_another_kind_are_refused(scores):
    with pytest.raises(ValueError, match="scores must be 2 numbers"):
        objectness.proposal_votes(np.ones((2, 1, 1), bool), scores)


def test_class_evidence_takes_the_best_classes_and_what_is_positive():
    maps = np.array([[[1.0, -5.0]], [[3.0, 1.0]], [[100.0, 100.0]]])
    assert objectness.class_evidence(maps, [2.0, 3.0, -1.0], top=2).tolist() == [[2.0, 0.5]]


@pytest.mark.skipif(not VOC.exists(), reason="the folder of photographs is not here")
def test_the_middle_of_photographs_holds_more_objects_than_chance():
    folder = Folder(VOC, "train")
    masks = [shrunk(folder[k], 48).mask for k in range(20)]
    centre = np.nanmean([objectness.average_precision(objectness.centre_prior(m.shape), m) for m in masks])
    chance = np.nanmean([objectness.average_precision(np.zeros(m.shape), m) for m in masks])
    assert centre > chance + 0.1
