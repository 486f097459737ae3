"""Real photographs: those that scikit-image's wheel carries, and the reader's own."""

from __future__ import annotations

import importlib
import io
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ..kit.checks import choice
from ..kit.images import checked_image, encoded
from ..kit.storage import data_dir, write_atomic

#: A photograph of more pixels than this is refused: it would fill a laptop's memory and shows no more.
MAX_PIXELS = 100_000_000
#: What is opened, in Pillow's names; the messages name them, too.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP")


@dataclass(frozen=True)
class Photo:
    """Where a photograph comes from and how it may be used.

    Attributes:
        file: name of the file in scikit-image's data folder.
        title: of the photograph.
        author: whose it is; author, licence and source are the credit that belongs under the picture.
        licence: under which it may be used.
        source: where it comes from.
        alt: what is to be seen, for a reader who cannot see it.
        thing: one object in it.
        box: of that object (x0, y0, x1, y1), half open, in pixels of the photograph. The boxes were drawn by
            hand for this course, to a few pixels.
    """

    file: str
    title: str
    author: str
    licence: str
    source: str
    alt: str
    thing: str
    box: tuple[int, int, int, int]

    @property
    def credit(self) -> str:
        """One line to print under the picture."""
        return f"{self.title}. {self.author}; {self.licence}."


#: The photographs of the course by name. Credits as scikit-image's documentation of each picture gives them.
PHOTOS: dict[str, Photo] = {
    "chelsea": Photo(
        "chelsea.png",
        "Chelsea the cat",
        "Stéfan van der Walt",
        "CC0",
        "scikit-image, skimage.data.chelsea",
        "The face of a ginger tabby cat that looks to the side, whiskers and both ears in the picture",
        "cat",
        (0, 0, 400, 300),
    ),
    "coffee": Photo(
        "coffee.png",
        "Coffee cup (courtesy of Pikolo Espresso Bar)",
        "Rachel Michetti",
        "CC0",
        "scikit-image, skimage.data.coffee",
        "A white cup of espresso on a saucer with a spoon, on a wooden table",
        "cup",
        (172, 16, 408, 305),
    ),
    "rocket": Photo(
        "rocket.jpg",
        "Launch of DSCOVR on Falcon 9",
        "SpaceX",
        "public domain",
        "scikit-image, skimage.data.rocket",
        "A rocket on its launch pad at dusk, brightly lit, beside its tower",
        "rocket",
        (303, 117, 334, 400),
    ),
    "astronaut": Photo(
        "astronaut.png",
        "Eileen Collins, astronaut",
        "NASA",
        "public domain",
        "scikit-image, skimage.data.astronaut",
        "A smiling astronaut in an orange suit with a white helmet in front of her, a flag and a model of a "
        "space shuttle behind",
        "helmet",
        (278, 340, 512, 512),
    ),
    "camera": Photo(
        "camera.png",
        "Photographer with a camera on a tripod",
        "Lav Varshney",
        "CC0",
        "scikit-image, skimage.data.camera",
        "A grey picture of a man in a coat who looks through a camera on a tripod, on a lawn",
        "tripod",
        (232, 215, 408, 512),
    ),
    "motorcycle": Photo(
        "motorcycle_left.png",
        "Motorcycle, left picture of a stereo pair",
        "Nera Nesic, Porter Westling, Xi Wang, York Kitajima, Greg Krathwohl and Daniel Scharstein "
        "(Middlebury 2014)",
        "free with citation of Scharstein et al., GCPR 2014",
        "scikit-image, skimage.data.stereo_motorcycle",
        "A motorcycle seen from its side in a garage, in front of shelves and tools",
        "motorcycle",
        (98, 78, 660, 448),
    ),
}


def photo(name: str) -> NDArray[np.uint8]:
    """A photograph of the course, uint8 RGB ``(H, W, 3)``; nothing is downloaded.

    Args:
        name: a key of `PHOTOS`.

    Raises:
        ValueError: there is no photograph of that name.
        FileNotFoundError: scikit-image's wheel is installed without it.

    Example:
        >>> photo("chelsea").shape
        (300, 451, 3)
    """
    return load_photo(Path(skimage.data.__file__).parent / PHOTOS[choice("name", name, PHOTOS)].file)


def load_photo(source: object) -> NDArray[np.uint8]:
    """Any picture of yours as uint8 RGB ``(H, W, 3)``: upright, in colour, with 8 bits.

    EXIF rotation is applied, transparency is laid on white, and grey, palette, CMYK and 16-bit pictures are
    converted. Of an animation the first frame is taken.

    Args:
        source: a path; the bytes of a file or an open binary file, JPEG, PNG, WebP, TIFF, GIF or BMP; a PIL
            image; an array ``(H, W)`` or ``(H, W, 1 | 3 | 4)`` of bool, uint8, uint16 or floats in 0..1; or
            what an ipywidgets ``FileUpload`` holds (the widget or its value, with one file in it).

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: `source` is none of the above.
        ValueError: it is no picture of a format above, a damaged one, an empty one, or one above 100
            megapixels.

    Example:
        >>> load_photo(np.array([[0, 65535]], np.uint16)).tolist()
        [[[0, 0, 0], [255, 255, 255]]]
    """
    source = _unpack_upload(source)
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _from_pil(source, "the PIL image")
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_file(io.BytesIO(bytes(source)), "the bytes")
    if isinstance(source, str | os.PathLike):
        return _from_path(source)
    if hasattr(source, "read"):
        name = os.path.basename(str(getattr(source, "name", "")))
        return _from_file(cast(BinaryIO, source), name or "the file")
    raise TypeError(
        f"source must be a path, bytes, a PIL image, an array or an upload, got {type(source).__name__}"
    )


def keep_photo(image: NDArray[np.uint8], name: str) -> Path:
    """Keep a photograph of the reader's in the data folder, from which every chapter can take it.

    Args:
        image: uint8 RGB ``(H, W, 3)``.
        name: of its file; what cannot stand in a file name is left out of it. A photograph of the same name
            is replaced.

    Returns:
        The file, a JPEG of high quality.

    Raises:
        TypeError: `image` is no array.
        ValueError: it is one of another kind.
        OSError: the folder cannot be written.
    """
    stem = re.sub(r"[^\w-]+", "-", Path(name).stem).strip("-")[:60] or "photo"
    return write_atomic(
        data_dir() / "photos" / f"{stem}.jpg", encoded(checked_image(image), "JPEG", quality=95)
    )


def my_photos() -> dict[str, Path]:
    """The reader's own photographs by name, the one that was kept last first; `load_photo` reads them.

    Example:
        >>> own = my_photos()
        >>> image = load_photo(next(iter(own.values()))) if own else photo("coffee")
    """
    folder = data_dir() / "photos"
    files = sorted(folder.glob("*.jpg"), key=lambda path: path.stat().st_mtime, reverse=True)
    return {path.stem: path for path in files if not path.name.startswith(".")}


def _unpack_upload(source: object) -> object:
    """The file inside an ipywidgets FileUpload or its value; anything else as it came."""
    source = getattr(source, "value", source) if hasattr(source, "comm") else source
    if isinstance(source, Mapping) and "content" not in source:  # ipywidgets 7: {file name: {content: bytes}}
        source = tuple(source.values())
    if isinstance(source, Sequence) and not isinstance(source, str | bytes | bytearray | memoryview):
        if len(source) != 1:
            raise ValueError(f"source must hold one picture, got an upload or list of {len(source)}")
        source = source[0]
    if isinstance(source, Mapping) and "content" in source:
        return _Upload(bytes(source["content"]), str(source.get("name") or "the upload"))
    return source


class _Upload(io.BytesIO):
    """The bytes of a file with its name, so that errors say which file it was."""

    def __init__(self, content: bytes, name: str):
        super().__init__(content)
        self.name = name


def _from_path(source: str | os.PathLike) -> NDArray[np.uint8]:
    path = os.path.expanduser(source)
    if str(path).lower().startswith(("http://", "https://")):
        raise ValueError(f"source is the address {path!r}; download the picture yourself and give its path")
    if not os.path.isfile(path):  # unlike Path.is_file, it also says no to what can be no path at all
        raise FileNotFoundError(f"source: there is no file {path!r}")
    with open(path, "rb") as file:
        return _from_file(file, os.path.basename(path))


def _from_file(file: BinaryIO, name: str) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings():
            # Pillow's own limits only warn; _from_pil has ours, which it checks before a pixel is read.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            # Only these: other formats start programs (EPS) or depend on how Pillow was built (AVIF).
            image = Image.open(file, formats=(*FORMATS, *_heic()))
    except Image.DecompressionBombError as error:
        raise ValueError(f"{name} has more than {MAX_PIXELS:,} pixels; save a smaller copy") from error
    except MemoryError:
        raise
    except Exception as error:
        raise ValueError(
            f"{name} is not a picture that can be read here (JPEG, PNG, WebP, TIFF, GIF and BMP can; "
            "HEIC where pillow-heif is installed; else export HEIC and AVIF as JPEG)"
        ) from error
    return _from_pil(image, name, ours=True)


def _heic() -> tuple[str, ...]:
    """The format in which telephones write, where the package that reads it is installed."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return ()
    return ("HEIF",)


def _from_pil(image: Image.Image, name: str, ours: bool = False) -> NDArray[np.uint8]:
    _check_size(image.height, image.width, name)
    try:
        turned = ImageOps.exif_transpose(image, in_place=ours)  # reads the pixels; no copy of what is ours
        image = turned or image
        _check_deep(image)
        return _in_strips(image.height, image.width, lambda rows: _strip(image, rows))
    except (MemoryError, _Refused):
        raise
    except Exception as error:  # Pillow's decoders meet damage with errors of many kinds
        raise ValueError(f"{name} is damaged or of an unknown kind: {error}") from error


class _Refused(ValueError):
    """What a picture holds cannot be shown."""


#: Rows that are worked on at a time, so that a large picture is not in memory in several forms at once.
_ROWS = 256


def _in_strips(height: int, width: int, strip: Callable[[slice], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """An RGB picture put together from strips of rows."""
    whole = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, _ROWS):
        rows = slice(top, min(top + _ROWS, height))
        whole[rows] = strip(rows)
    return whole


def _strip(image: Image.Image, rows: slice) -> NDArray[np.uint8]:
    """Some rows of a PIL image as RGB."""
    part = image.crop((0, rows.start, image.width, rows.stop))
    if _is_deep(image):
        pixels = np.array(part)
        return _eight_bits(pixels if image.mode == "F" else pixels.astype(np.uint16))[:, :, None]
    return np.array(_on_white(part.convert("RGBA")) if image.has_transparency_data else part.convert("RGB"))


def _is_deep(image: Image.Image) -> bool:
    """Whether a grey picture has more than 8 bits."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _check_deep(image: Image.Image) -> None:
    """32-bit integers must hold 16-bit values, and floats must lie in 0..1."""
    if image.mode == "F":
        for top in range(0, image.height, _ROWS):
            _check_floats(np.array(image.crop((0, top, image.width, min(top + _ROWS, image.height)))))
    elif _is_deep(image) and image.mode == "I":
        low, high = cast(tuple[int, int], image.getextrema())
        if low < 0 or high > 65535:
            raise _Refused(f"source must hold integers in 0..65535, got {low} to {high}")


def _from_array(array: NDArray) -> NDArray[np.uint8]:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ValueError(f"source must have shape (H, W) or (H, W, 1 | 3 | 4), got {array.shape}")
    height, width, channels = array.shape
    _check_size(height, width, "the array")
    if np.issubdtype(array.dtype, np.floating):
        _check_floats(array)

    def strip(rows: slice) -> NDArray[np.uint8]:
        pixels = _eight_bits(array[rows])
        if channels < 4:
            return pixels
        return np.array(_on_white(Image.fromarray(np.ascontiguousarray(pixels))))

    return _in_strips(height, width, strip)


def _on_white(image: Image.Image) -> Image.Image:
    """An RGBA picture laid on white, as RGB."""
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _check_floats(array: NDArray) -> None:
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise _Refused(f"source must hold floats in 0..1, got {low:.3g} to {high:.3g}")


def _eight_bits(array: NDArray) -> NDArray[np.uint8]:
    """The array as uint8: bool 0/255, uint16 rounded from 0..65535, float rounded from 0..1."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return np.rint(array / 257).astype(np.uint8)
    if np.issubdtype(array.dtype, np.floating):
        return np.rint(array * 255).astype(np.uint8)
    raise ValueError(f"source must be bool, uint8, uint16 or float, got {array.dtype}")


def _check_size(height: int, width: int, name: str) -> None:
    if height * width == 0:
        raise ValueError(f"{name} has no pixels: it is {height} x {width}")
    if height * width > MAX_PIXELS:
        raise ValueError(f"{name} has {height * width:,} pixels, over {MAX_PIXELS:,}; save a smaller copy")
