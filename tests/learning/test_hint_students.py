"""The losses of clicks, scribbles and seeds in `training.train`: students of images of two halves."""

import numpy as np
import pytest
import torch

from lecturekit.learning.features import Features, Pictures
from lecturekit.learning.points import (
    belief_within,
    clicks_as_labels,
    point_supervision,
    self_training,
    simulate_clicks,
    sure_alone,
)
from lecturekit.learning.scribbles import normalised_cut_loss, scribble_supervision, simulate_scribbles
from lecturekit.learning.seed_expand import grid_colours, sec_supervision
from lecturekit.learning.training import train
from lecturekit.metrics import label_quality


def _halves(count: int = 8):
    """Images of two halves, the right one of class 1 or 2: features, masks, image labels."""
    rng = np.random.default_rng(0)
    values = 0.2 * rng.normal(size=(count, 4, 4, 8))
    masks, present = [], torch.zeros(count, 3, dtype=torch.bool)
    present[:, 0] = True
    for k in range(count):
        c = 1 + k % 2
        mask = np.zeros((32, 64), np.uint8)
        mask[:, 32:] = c
        values[k, c, :, 4:] += 2
        masks.append(mask)
        present[k, c] = True
    pictures = Pictures([np.zeros((32, 64, 3), np.uint8)] * count, 64)
    seen = Features(values.astype(np.float16), pictures, np.zeros(4, "f4"), np.eye(4, dtype="f4"), "test")
    return seen, masks, present


SETTINGS = {"epochs": 30, "lr": 0.02, "device": "cpu"}


def test_clicks_objectness_and_a_second_round_teach_a_student(one_thread):
    seen, masks, present = _halves()
    labels = []
    for mask in masks:
        clicks = simulate_clicks(mask, [[32, 0, 64, 32]], [int(mask.max())])
        labels.append(clicks_as_labels(clicks, mask.shape))
    objectness = torch.zeros(len(masks), 4, 8)
    objectness[:, :, 4:] = 1
    loss = point_supervision(present, objectness, weight=1.0)
    student = train(seen, labels, 3, loss=loss, stride=2, **SETTINGS)
    assert label_quality(student.labels(seen), masks, 3).mean_iou > 0.9
    beliefs = belief_within(student.module, seen, present)
    assert not beliefs[~present].any()
    assert torch.allclose(beliefs.float().sum(1), torch.ones(len(masks), 4, 8), atol=1e-2)
    again = train(seen, labels, 3, loss=self_training(beliefs), stride=2, **SETTINGS)
    assert label_quality(again.labels(seen), masks, 3).mean_iou > 0.9


def test_the_belief_of_several_is_their_mean():
    """Each within the image label first: a class that is absent takes nothing away from the others."""
    seen, _, present = _halves(3)
    rng = torch.Generator().manual_seed(0)
    layers = [torch.nn.Conv2d(4, 3, 1) for _ in range(2)]
    for layer in layers:
        torch.nn.init.normal_(layer.weight, generator=rng)
    both = belief_within(layers, seen, present)
    for k in range(3):
        wanted = torch.zeros(3, 4, 8)
        for layer in layers:
            wanted[present[k]] += layer(seen.batch([k]))[0, present[k]].softmax(0) / 2
        assert torch.allclose(both[k].float(), wanted, atol=1e-3)
    assert torch.equal(belief_within(layers[:1], seen, present), belief_within(layers[0], seen, present))


def test_where_nobody_is_sure_nothing_is_asked_for():
    beliefs = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1)).softmax(1)
    sure = sure_alone(beliefs, 0.4, 0.45)
    for cell, of in zip(
        sure.movedim(1, -1).reshape(-1, 3), beliefs.movedim(1, -1).reshape(-1, 3), strict=True
    ):
        wanted = torch.zeros(3)
        if of.max() > (0.45 if of.argmax() == 0 else 0.4):
            wanted[of.argmax()] = 1
        assert torch.equal(cell, wanted)
    assert torch.equal(sure_alone(beliefs, 0.4), sure_alone(beliefs, 0.4, 0.4))
    assert not sure_alone(beliefs, 1.0).any()
    assert torch.equal(sure_alone(beliefs, 0.0).sum(1), torch.ones(2, 4, 5))
    with pytest.raises(ValueError, match="least"):
        sure_alone(beliefs, 1.5)


def test_scribbles_teach_a_student(one_thread):
    seen, masks, _ = _halves()
    labels = [simulate_scribbles(mask, [[32, 0, 64, 32]], [int(mask.max())]) for mask in masks]
    for loss in (scribble_supervision(None), scribble_supervision(normalised_cut_loss, 0.1)):
        student = train(seen, labels, 3, loss=loss, stride=2, **SETTINGS)
        assert label_quality(student.labels(seen), masks, 3).mean_iou > 0.9


@pytest.mark.parametrize("losses", [("seed",), ("seed", "expand", "constrain")])
def test_seeds_teach_a_student(losses, one_thread):
    seen, masks, present = _halves()
    seeds = torch.full((len(masks), 4, 8), 255, dtype=torch.uint8)
    seeds[:, 1, 1] = 0
    seeds[:, 1, 6] = torch.tensor([int(mask.max()) for mask in masks], dtype=torch.uint8)
    images = [np.repeat(mask[..., None], 3, 2) * 100 for mask in masks]
    colours = grid_colours(images, seen.cells)
    empty = [np.full_like(mask, 255) for mask in masks]
    loss = sec_supervision(seeds, present, colours, losses, decay=1.0, background_decay=1.0)
    student = train(seen, empty, 3, loss=loss, **SETTINGS)
    assert label_quality(student.labels(seen), masks, 3).mean_iou > 0.85


def test_unknown_losses_are_refused():
    with pytest.raises(ValueError, match="losses must be one of 'seed', 'expand', 'constrain', got 'sprout'"):
        sec_supervision(torch.zeros(1, 1, 1), torch.ones(1, 1), torch.zeros(1, 3, 1, 1), ["sprout"])


def test_the_third_loss_of_sec_counts_as_much_as_is_asked():
    class Step:
        pictures, device = torch.tensor([0]), torch.device("cpu")
        inside = torch.ones(1, 4, 4, dtype=torch.bool)

        def thinned(self, inside, known, colours):
            return torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1)), inside, known, colours

    seeds, present = torch.full((1, 4, 4), 255, dtype=torch.uint8), torch.ones(1, 3, dtype=torch.bool)
    seeds[0, 0, :3] = torch.tensor([0, 1, 2])
    colours = torch.randint(0, 256, (1, 3, 4, 4), generator=torch.Generator().manual_seed(0))

    def value(losses, weight):
        loss = sec_supervision(seeds, present, colours, losses, constrain_weight=weight)
        return loss(torch.nn.Identity(), Step(), seeds).item()

    third, both = value(["constrain"], 1), value(["seed", "constrain"], 1)
    assert third > 0
    assert value(["constrain"], 2) == pytest.approx(2 * third)
    assert value(["seed", "constrain"], 3) == pytest.approx(both + 2 * third)
    with pytest.raises(ValueError, match="constrain_weight must"):
        value(["constrain"], -1)


def test_image_labels_rule_classes_out_beside_scribbles(one_thread):
    """Class 2 is never drawn on: strokes alone take it for class 1, the image label says that it is not."""
    seen, masks, present = _halves()
    boxes = [([[32, 0, 64, 32]], [1]) if m.max() == 1 else (np.zeros((0, 4)), []) for m in masks]
    labels = [simulate_scribbles(m, *one) for m, one in zip(masks, boxes, strict=True)]
    absent = {}
    for weight in (0.0, 1.0):
        loss = scribble_supervision(None, present=present, present_weight=weight)
        student = train(seen, labels, 3, loss=loss, stride=2, **SETTINGS)
        beliefs = zip(student.probabilities(seen), present.numpy(), strict=True)
        absent[weight] = np.mean([maps[~there].sum(0).mean() for maps, there in beliefs])
    assert absent[1.0] < 0.5 * absent[0.0]
