"""Projects of small pictures."""

import pytest
from project_pictures import CLASSES, drawn, folder_of, number, painted

from lecturekit.labs import project
from lecturekit.labs.project import _train


@pytest.fixture
def quick(monkeypatch):
    """Few steps, and no students of halves."""
    monkeypatch.setattr(_train, "STEPS", 50)
    monkeypatch.setattr(_train, "LEAST", 10**6)


@pytest.fixture
def halved(quick, monkeypatch):
    """With them."""
    monkeypatch.setattr(_train, "LEAST", 6)


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "data"))


@pytest.fixture
def begun(tmp_path):
    """A project of 24 pictures, 4 of them set aside with masks, and nothing drawn on the others."""
    made = project.new(folder_of(tmp_path / "photos", 24), CLASSES, test=4, path=tmp_path / "p")
    for one in made.test:
        made.save_labels(one, drawn(painted(number(one))[1], "mask"))
    return made


@pytest.fixture(scope="session")
def taught(tmp_path_factory):
    """The same with masks on all, and a student."""
    folder = tmp_path_factory.mktemp("taught")
    made = project.new(folder_of(folder / "photos", 24), CLASSES, test=6, path=folder / "p")
    for one in made.pictures:
        made.save_labels(one, drawn(painted(number(one))[1], "mask"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LECTUREKIT_DATA", str(folder / "data"))
        patch.setattr(_train, "STEPS", 90)
        patch.setattr(_train, "LEAST", 10**6)
        project.train(made, seeds=(0, 1), side=64, device="cpu", progress=False)
    return made
