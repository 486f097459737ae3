"""The folder that everyone has, and its simulated people."""

import numpy as np
import pytest

from lecturekit.labels import shapes
from lecturekit.labs import project as projects
from lecturekit.labs.project import simulated
from lecturekit.labs.project._curves import KINDS


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return projects.new(simulated.folder(tmp_path_factory.mktemp("pictures"), 9), simulated.NAMES, test=3)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_what_is_there_at_a_price(project, kind):
    picture = project.train[list(KINDS).index(kind) % len(project.train)]
    hours = simulated.draw(project, [picture], kind)
    labels = [one for one in project.labels(picture) if one["id"].startswith(f"simulated-{kind}-")]
    assert sum(one["milliseconds"] for one in labels) == pytest.approx(3.6e6 * hours, rel=1e-3)
    truth, hits, marked = simulated.truth(picture), 0, 0
    for one in labels:
        name = project.label_classes[one["class_index"] - 1]
        value = simulated.NAMES.index(name) + 1 if name in simulated.NAMES else 0
        pixels = shapes.rasterise(one, picture.size)
        hits, marked = hits + (truth[pixels] == value).sum(), marked + pixels.sum()
    assert marked == 0 or hits / marked > (0.3 if kind == "boxes" else 0.9)


def test_masks_are_nearly_the_truth_and_another_person_draws_others(project):
    picture = project.test[0]
    simulated.draw(project, [picture], "masks", seed=1)
    found = shapes.label_map(project.labels(picture), picture.size)
    assert (found == simulated.truth(picture)).mean() > 0.95
    assert simulated.draw(project, [picture], "masks", seed=1) == simulated.draw(
        project, [picture], "masks", seed=1
    )
    assert simulated.draw(project, [picture], "masks", seed=1) != simulated.draw(
        project, [picture], "masks", seed=2
    )


def test_strokes_go_where_the_answer_is_wrong(project):
    picture = project.train[0]
    right = simulated.truth(picture)
    assert simulated.strokes_where_wrong(project, picture, right) == []
    empty = np.zeros_like(right)
    for one in simulated.strokes_where_wrong(project, picture, empty):
        value = simulated.NAMES.index(project.label_classes[one["class_index"] - 1]) + 1
        pixels = shapes.rasterise(one, picture.size)
        assert (right[pixels] == value).mean() > 0.8


def test_pictures_from_elsewhere_are_refused(project):
    with pytest.raises(ValueError, match=r"simulated\.folder"):
        simulated.truth(type(project.train[0])("cat.jpg", "0" * 32, (3, 3), "train"))
    with pytest.raises(ValueError, match="kind"):
        simulated.draw(project, [], "box")
