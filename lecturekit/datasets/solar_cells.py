"""Solar cells under electroluminescence, with the probability that a cell is defective: weak labels at work.

The data are the ELPV benchmark, carried by the PyPI package ``elpv-dataset``: 2,624 cells cut out of pictures
of 44 photovoltaic modules. A current makes a cell glow; where it is dark, no current flows. Each cell has one
number for the whole picture and nothing says where the defect is. The pictures are licensed CC BY-NC-SA 4.0:
credit them (`CREDIT`), do not sell them, and pass on what you make of them under the same licence.
"""

from __future__ import annotations

import importlib.util
from numbers import Integral
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

#: One line for below a picture.
CREDIT_LINE = (
    "Solar cells: ELPV dataset, Buerhop-Lutz et al. 2018, Deitsch et al. 2019 and 2021; CC BY-NC-SA 4.0."
)

#: The papers that users of the pictures are asked to cite, and the licence.
CREDIT = """\
C. Buerhop-Lutz, S. Deitsch, A. Maier, F. Gallwitz, S. Berger, B. Doll, J. Hauch, C. Camus, C. J. Brabec:
  A Benchmark for Visual Identification of Defective Solar Cells in Electroluminescence Imagery,
  EU PVSEC 2018, https://doi.org/10.4229/35thEUPVSEC20182018-5CV.3.15
S. Deitsch, V. Christlein, S. Berger, C. Buerhop-Lutz, A. Maier, F. Gallwitz, C. Riess: Automatic
  classification of defective photovoltaic module cells in electroluminescence images, Solar Energy 185, 2019,
  https://doi.org/10.1016/j.solener.2019.02.067
S. Deitsch, C. Buerhop-Lutz, E. Sovetkin, A. Steland, A. Maier, F. Gallwitz, C. Riess: Segmentation of
  photovoltaic module cells in uncalibrated electroluminescence images, Machine Vision and Applications 32,
  2021, https://doi.org/10.1007/s00138-021-01191-9
Pictures and labels: CC BY-NC-SA 4.0, https://creativecommons.org/licenses/by-nc-sa/4.0/"""

#: Cells in the package, and the side of each picture in pixels.
CELLS, SIDE = 2624, 300


class SolarCells(NamedTuple):
    """Pictures of cells and what is known about them.

    Attributes:
        images: uint8 grey ``(N, 300, 300)``.
        defect: float64 ``(N,)``, the probability that the cell is defective: 0, 1/3, 2/3 or 1.
        kind: text ``(N,)``, ``"mono"`` or ``"poly"`` for mono- and polycrystalline silicon.
    """

    images: np.ndarray
    defect: np.ndarray
    kind: np.ndarray


def solar_cells(count: int | None = None, seed: int = 0) -> SolarCells:
    """`count` cells drawn without replacement; only their files are read.

    The order is that of ``numpy.random.default_rng(seed)``, and a smaller `count` gives the first cells of a
    larger one.

    Args:
        count: 1 to 2624; None for all cells (236 MB of memory).
        seed: of the order, at least 0.

    Raises:
        ValueError: `count` or `seed` is something else.
        FileNotFoundError: the package ``elpv-dataset`` is not installed or incomplete.
    """
    _check_whole("count", CELLS if count is None else count, 1, CELLS)
    _check_whole("seed", seed, 0, None)
    names, defect, kind = _labels(folder())
    chosen = np.random.default_rng(int(seed)).permutation(CELLS)[:count]
    images = np.empty((len(chosen), SIDE, SIDE), np.uint8)
    for image, name in zip(images, names[chosen], strict=True):
        image[:] = _read(folder() / name)
    return SolarCells(images, defect[chosen], kind[chosen])


def available() -> bool:
    """Is the package with the pictures installed?"""
    return importlib.util.find_spec("elpv_dataset") is not None


def folder() -> Path:
    """Where the installed package keeps its data; ``FileNotFoundError`` where it is not installed."""
    found = importlib.util.find_spec("elpv_dataset")
    if found is None or found.origin is None:
        raise FileNotFoundError(
            "the pictures of solar cells (91 MB, CC BY-NC-SA 4.0) are not installed; get them with: "
            'python -m pip install "lecturekit[solar]" (or: python -m pip install elpv-dataset)'
        )
    return Path(found.origin).parent / "data"


def _labels(data: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """File names, defect probabilities and kinds of all cells, in the order of ``labels.csv``."""
    file = data / "labels.csv"
    if not file.is_file():
        raise FileNotFoundError(f"labels.csv is missing in the installed elpv-dataset. {_AGAIN}")
    columns = np.array([line.split() for line in file.read_text(encoding="utf-8").splitlines() if line])
    if columns.shape != (CELLS, 3):
        raise ValueError(f"labels.csv must be a table of {CELLS} x 3, got {columns.shape}. {_AGAIN}")
    return columns[:, 0], columns[:, 1].astype(float), columns[:, 2]


def _read(path: Path) -> np.ndarray:
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is missing in the installed elpv-dataset. {_AGAIN}")
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"))


_AGAIN = "Install it again: python -m pip install --force-reinstall --no-deps elpv-dataset"


def _check_whole(name: str, value: object, least: int, most: int | None) -> None:
    """``ValueError`` unless `value` is a whole number from `least` to `most`."""
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        wanted = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise ValueError(f"{name} must be a whole number {wanted}, got {value!r}")
