"""Solar cells: the package's own loader as the reference, bad arguments, and life without the data."""

import importlib.util
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from lecturekit.datasets import solar_cells as module
from lecturekit.datasets.solar_cells import CELLS, CREDIT, CREDIT_LINE, available, drawn_cells, solar_cells

needs_data = pytest.mark.skipif(not available(), reason="the optional package elpv-dataset is not installed")


@pytest.fixture
def small_package(tmp_path, monkeypatch):
    """A package with the real labels and no pictures."""
    shutil.copy(module.folder() / "labels.csv", tmp_path / "labels.csv")
    monkeypatch.setattr(module, "folder", lambda: tmp_path)
    return tmp_path


@needs_data
def test_pictures_and_labels_are_those_of_the_package(tmp_path):
    """The package's own loader reads a labels file with our cells and must give the same."""
    utils = pytest.importorskip("elpv_dataset.utils")
    rows = (module.folder() / "labels.csv").read_text().splitlines()
    order = np.random.default_rng(7).permutation(CELLS)[:12]
    (tmp_path / "labels.csv").write_text("\n".join(rows[i] for i in order) + "\n")
    (tmp_path / "images").mkdir()
    for i in order:
        name = rows[i].split()[0]
        shutil.copy(module.folder() / name, tmp_path / name)
    images, defect, kind = utils.load_dataset(str(tmp_path / "labels.csv"))
    found = solar_cells(12, seed=7)
    np.testing.assert_array_equal(found.images, images)
    np.testing.assert_array_equal(found.defect, defect)
    np.testing.assert_array_equal(found.kind, kind)


@needs_data
def test_shapes_types_and_values():
    cells = solar_cells(30, seed=1)
    assert cells.images.shape == (30, 300, 300)
    assert cells.images.dtype == np.uint8
    assert cells.defect.shape == cells.kind.shape == (30,)
    assert np.isin(np.rint(cells.defect * 3), range(4)).all()
    np.testing.assert_allclose(cells.defect * 3, np.rint(cells.defect * 3), atol=1e-12)
    assert set(cells.kind) == {"mono", "poly"}


@needs_data
def test_order_is_seeded_and_a_smaller_count_is_the_beginning_of_a_larger():
    many, few, other = solar_cells(9, seed=3), solar_cells(4, seed=3), solar_cells(9, seed=4)
    np.testing.assert_array_equal(many.images[:4], few.images)
    assert not np.array_equal(many.images, other.images)
    assert len({image.tobytes() for image in many.images}) == 9


@needs_data
def test_only_the_files_asked_for_are_read(small_package):
    names = [line.split()[0] for line in (small_package / "labels.csv").read_text().splitlines()]
    (small_package / "images").mkdir()
    for i in np.random.default_rng(0).permutation(CELLS)[:3]:
        Image.new("L", (300, 300), 9).save(small_package / names[i])
    assert (solar_cells(3).images == 9).all()
    with pytest.raises(FileNotFoundError, match="elpv-dataset"):
        solar_cells(4)


@needs_data
def test_all_cells_are_in_the_order_once(monkeypatch):
    monkeypatch.setattr(module, "_read", lambda path: int(path.stem[4:]) % 251)
    cells = solar_cells()
    counts = np.bincount(cells.images[:, 0, 0], minlength=251)
    assert cells.images.shape == (CELLS, 300, 300)
    np.testing.assert_array_equal(counts, np.bincount(np.arange(1, CELLS + 1) % 251, minlength=251))


@pytest.mark.parametrize("count", [0, -1, CELLS + 1, 2.0, "3", True])
def test_bad_count(count):
    with pytest.raises(ValueError, match=r"count must be a whole number in 1\.\.2624"):
        solar_cells(count)


@pytest.mark.parametrize("seed", [-1, 0.5, None, False])
def test_bad_seed(seed):
    with pytest.raises(ValueError, match="seed must be a whole number of at least 0"):
        solar_cells(1, seed=seed)


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch):
    found = importlib.util.find_spec
    absent = lambda name, *a: None if name == "elpv_dataset" else found(name, *a)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", absent)
    assert not available()
    with pytest.raises(
        FileNotFoundError, match=r'pip install "lecturekit\[solar\]".*pip install elpv-dataset'
    ):
        solar_cells(1)


@needs_data
def test_damaged_labels_are_refused(small_package):
    file = small_package / "labels.csv"
    file.write_text("\n".join(file.read_text().splitlines()[:-1]))
    with pytest.raises(ValueError, match=r"2624 x 3, got \(2623, 3\)"):
        solar_cells(1)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"labels\.csv"):
        solar_cells(1)


def test_credit_names_papers_and_licence():
    for part in ("Buerhop-Lutz", "Deitsch", "2018", "2019", "2021", "CC BY-NC-SA 4.0"):
        assert part in CREDIT
        assert part in CREDIT_LINE
    assert CREDIT.count("https://doi.org/") == 3


@needs_data
def test_twelve_cells_carry_marks_that_lie_on_something_dark():
    names = module._labels(module.folder())[0]
    assert set(module.MARKS) <= set(names)
    for name in module.MARKS:
        image, marked = module._read(module.folder() / name).astype(float), module._marks(name)
        assert marked.shape == (300, 300)
        assert 0.005 < marked.mean() < 0.3
        around = cv2.dilate(marked.astype(np.uint8), np.ones((41, 41))) > 0
        assert image[marked].mean() < image[around & ~marked].mean(), name


@needs_data
def test_marks_travel_with_their_cells():
    cells = solar_cells(700, seed=1)
    marked = [k for k, mark in enumerate(cells.marks) if mark is not None]
    assert (cells.defect[marked] == 1).all()
    assert len([k for k in marked if k >= 450]) == len(module.MARKS)
    np.testing.assert_array_equal(cells.marks[450], module._marks("images/cell1306.png"))


def test_drawn_cells_stand_in_for_the_pictures():
    cells = drawn_cells(60, seed=2)
    assert cells.images.shape == (60, 300, 300)
    assert cells.images.dtype == np.uint8
    assert 8 < cells.defect.sum() < 32
    for image, defect, mark in zip(cells.images, cells.defect, cells.marks, strict=True):
        assert (mark is not None) == bool(defect)
        if mark is not None:
            assert image[mark].mean() < image[~mark].mean() - 10
    np.testing.assert_array_equal(cells.images, drawn_cells(60, seed=2).images)
    assert not np.array_equal(cells.images, drawn_cells(60, seed=3).images)
    with pytest.raises(ValueError, match="count must be a whole number of at least 1"):
        drawn_cells(0)
