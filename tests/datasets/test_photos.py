"""Photographs: those of the course, and whatever a reader brings, sound or damaged."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import ipywidgets
import numpy as np
import pytest
import skimage.data
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence, features
from support import printed

from lecturekit.datasets.photos import MAX_PIXELS, PHOTOS, load_photo, photo

# ---------------------------------------------------------------- helpers


def noise(height=20, width=30, channels=3, dtype=np.uint8) -> np.ndarray:
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def encoded(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def assert_photo(pixels: np.ndarray, wanted: np.ndarray, tolerance: int = 0) -> None:
    """An array of one's own: uint8 RGB, contiguous, for writing into, and the picture that is wanted."""
    assert type(pixels) is np.ndarray
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    difference = np.abs(pixels.astype(int) - np.broadcast_to(np.asarray(wanted, int), pixels.shape))
    assert difference.max() <= tolerance


def grey(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[:, :, None], 3, axis=2)


# ---------------------------------------------------------------- the course's photographs


@pytest.mark.parametrize("name", PHOTOS)
def test_course_photographs(name):
    pixels = photo(name)
    assert_photo(pixels, pixels)
    assert min(pixels.shape[:2]) >= 256, "large enough for the network's crop"
    record = PHOTOS[name]
    for part in (record.title, record.author, record.licence, record.source, record.alt):
        assert part.strip()
    assert record.title in record.credit
    assert record.author in record.credit
    assert record.licence in record.credit


def test_course_photographs_are_those_of_scikit_image():
    for name in ("chelsea", "coffee", "rocket", "astronaut"):
        np.testing.assert_array_equal(photo(name), getattr(skimage.data, name)())
    np.testing.assert_array_equal(photo("camera"), grey(skimage.data.camera()))
    np.testing.assert_array_equal(photo("motorcycle"), skimage.data.stereo_motorcycle()[0])


def test_licences_are_those_that_scikit_image_states():
    for name in PHOTOS:
        stated = getattr(skimage.data, {"motorcycle": "stereo_motorcycle"}.get(name, name)).__doc__.lower()
        licence = PHOTOS[name].licence
        assert licence in ("CC0", "public domain") or licence.startswith("free with citation")
        if licence == "CC0":
            assert "cc0" in stated
        if licence == "public domain":
            assert "public domain" in stated


def test_a_photograph_is_a_copy_of_its_own():
    photo("coffee")[:] = 0
    assert photo("coffee").any()


@pytest.mark.parametrize("name", ["cat", "", "Chelsea", None, 3])
def test_unknown_photographs(name):
    with pytest.raises(ValueError, match="chelsea"):
        photo(name)


# ---------------------------------------------------------------- ways to bring a picture


def test_paths(tmp_path, monkeypatch):
    pixels = noise()
    for name in ("plain.png", "two words.png", "猫 – Kätzchen.png", "no_extension", "wrong.jpg", "#%?.png"):
        path = tmp_path / name
        path.write_bytes(encoded(pixels, "PNG"))
        assert_photo(load_photo(path), pixels)
        assert_photo(load_photo(str(path)), pixels)
    monkeypatch.chdir(tmp_path)
    assert_photo(load_photo("plain.png"), pixels)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert_photo(load_photo("~/plain.png"), pixels)


def test_a_symbolic_link(tmp_path):
    (tmp_path / "file.png").write_bytes(encoded(noise(), "PNG"))
    try:
        (tmp_path / "link.png").symlink_to(tmp_path / "file.png")
    except OSError:
        pytest.skip("this system makes no links")
    assert_photo(load_photo(tmp_path / "link.png"), noise())


def test_bytes_and_open_files(tmp_path):
    pixels, data = noise(), encoded(noise(), "PNG")
    for source in (
        data,
        bytearray(data),
        memoryview(data),
        io.BytesIO(data),
        io.BufferedReader(io.BytesIO(data)),
    ):
        assert_photo(load_photo(source), pixels)
    path = tmp_path / "a.png"
    path.write_bytes(data)
    with open(path, "rb") as file:
        file.seek(7)
        assert_photo(load_photo(file), pixels)
        assert not file.closed


def test_a_stream_that_cannot_be_wound_back():
    class Stream:
        def __init__(self):
            self.data = io.BytesIO(encoded(noise(), "PNG"))

        def read(self, count=-1):
            return self.data.read(count)

    assert_photo(load_photo(Stream()), noise())


def test_upload_widgets():
    """ipywidgets 8 holds a tuple of dictionaries, ipywidgets 7 a dictionary of dictionaries."""
    pixels, data = noise(), encoded(noise(), "PNG")
    eight = {"name": "a.png", "type": "image/png", "size": len(data), "content": memoryview(data)}
    seven = {"a.png": {"metadata": {"name": "a.png"}, "content": data}}
    for source in ((eight,), [eight], eight, seven, seven["a.png"], [data]):
        assert_photo(load_photo(source), pixels)


@pytest.mark.skipif(ipywidgets.__version__ < "8", reason="ipywidgets 7 takes another message")
def test_a_live_upload_widget():
    pixels, data = noise(), encoded(noise(), "PNG")
    widget = ipywidgets.FileUpload()
    # what the browser sends
    file = {"name": "a.png", "type": "image/png", "size": len(data), "content": memoryview(data)}
    file |= {"last_modified": 1_700_000_000_000, "error": ""}
    widget.set_state({"value": [file]})
    assert_photo(load_photo(widget), pixels)
    assert_photo(load_photo(widget.value), pixels)
    assert_photo(load_photo(widget.value[0]), pixels)
    assert_photo(load_photo(widget.value[0].content), pixels)


@pytest.mark.parametrize("source", [[], (), {}, ipywidgets.FileUpload(), [b"a", b"b"], {"a": 1, "b": 2}])
def test_an_upload_holds_one_file(source):
    with pytest.raises(ValueError, match="one picture"):
        load_photo(source)


# ---------------------------------------------------------------- arrays

ARRAYS = {
    "RGB": (noise(), noise()),
    "grey": (noise(channels=0), grey(noise(channels=0))),
    "grey with an axis": (noise(channels=1), grey(noise(channels=0))),
    "bool": (noise(channels=0) > 99, grey((noise(channels=0) > 99) * 255)),
    "reversed": (noise()[::-1, ::2], noise()[::-1, ::2]),
    "Fortran order": (np.asfortranarray(noise()), noise()),
    "uint16": (noise().astype(np.uint16) * 257, noise()),
    "uint16, big endian": (noise().astype(">u2") * 257, noise()),
    "float16": ((noise() / 255).astype(np.float16), noise()),
    "float32": ((noise() / 255).astype(np.float32), noise()),
    "float64": (noise() / 255, noise()),
    "one pixel": (np.full((1, 1), 7, np.uint8), np.full((1, 1, 3), 7)),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name):
    array, wanted = ARRAYS[name]
    before = array.copy()
    result = load_photo(array)
    assert_photo(result, wanted)
    assert not np.shares_memory(result, array)
    result[:] = 0
    np.testing.assert_array_equal(array, before)


def test_read_only_arrays():
    array = noise()
    array.flags.writeable = False
    assert_photo(load_photo(array), array)


def test_sixteen_bits_are_rounded():
    values = np.array([[0, 128, 129, 257, 32768, 65407, 65535]], np.uint16)
    assert load_photo(values)[0, :, 0].tolist() == [0, 0, 1, 1, 128, 255, 255]
    assert load_photo(np.array([[0, 0.5 / 255 + 1e-6, 0.4 / 255, 1]]))[0, :, 0].tolist() == [0, 1, 0, 255]


def test_transparency_is_laid_on_white():
    array = np.zeros((1, 3, 4), np.uint8)
    array[0, :, 0] = 200  # red
    array[0, :, 3] = [255, 0, 51]  # opaque, transparent, a fifth
    wanted = [[200, 0, 0], [255, 255, 255], [244, 204, 204]]
    assert_photo(load_photo(array), [wanted], tolerance=1)
    assert_photo(load_photo(encoded(array, "PNG")), [wanted], tolerance=1)
    assert_photo(load_photo(encoded(array, "WEBP", lossless=True, exact=True)), [wanted], tolerance=1)
    assert_photo(load_photo(array / 255), [wanted], tolerance=1)


@pytest.mark.parametrize(
    "array",
    [
        noise().astype(int),
        noise().astype(np.int8),
        noise().astype(float),
        noise() / 255 - 0.1,
        np.full((3, 3), np.nan),
        np.full((3, 3), np.inf),
        noise().astype(complex),
        noise().astype(object),
        noise().astype(str),
        noise()[None],
        noise()[0, 0],
        np.array(0.5),
        noise()[:, :, :2],
        noise().transpose(2, 0, 1),
        noise(channels=5),
        noise()[:0],
        noise()[:, :0],
        np.zeros((0, 0)),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_bad_arrays(array):
    with pytest.raises(ValueError, match=r"source|no pixels"):
        load_photo(array)


def test_an_array_of_too_many_pixels_takes_no_memory_to_refuse():
    huge = np.broadcast_to(np.uint8(0), (20_000, 10_000, 3))
    with pytest.raises(ValueError, match="200,000,000 pixels"):
        load_photo(huge)


# ---------------------------------------------------------------- colour modes

#: Pillow's mode, a value of it, the colour it stands for
MODES = {
    "1": (1, (255, 255, 255)),
    "L": (77, (77, 77, 77)),
    "LA": ((77, 255), (77, 77, 77)),
    "LA, transparent": ((77, 0), (255, 255, 255)),
    "RGB": ((1, 2, 3), (1, 2, 3)),
    "RGBA": ((1, 2, 3, 255), (1, 2, 3)),
    "RGBA, transparent": ((1, 2, 3, 0), (255, 255, 255)),
    "RGBX": ((1, 2, 3, 0), (1, 2, 3)),
    "CMYK": ((255, 0, 0, 0), (0, 255, 255)),
    "YCbCr": ((76, 85, 255), (254, 0, 0)),
    "HSV": ((85, 255, 255), (0, 255, 0)),
    "LAB": ((255, 128, 128), (255, 255, 255)),
    "I": (257 * 77, (77, 77, 77)),
    "I;16": (257 * 77, (77, 77, 77)),
    "I;16B": (257 * 77, (77, 77, 77)),
    "F": (0.5, (128, 128, 128)),
}


@pytest.mark.parametrize("name", MODES)
def test_pillow_modes(name):
    value, colour = MODES[name]
    image = Image.new(name.split(",")[0], (4, 3), value)
    result = load_photo(image)
    assert result.shape == (3, 4, 3)
    assert_photo(result, np.array(colour), tolerance=2)
    assert image.mode == name.split(",")[0], "the reader's image stays as it is"


def test_palettes_with_and_without_transparency():
    pixels = np.kron(noise(2, 3), np.ones((4, 4, 1), np.uint8))
    palette = Image.fromarray(pixels).quantize(6)
    wanted = np.asarray(palette.convert("RGB"))
    assert_photo(load_photo(palette), wanted)
    for kind in ("PNG", "GIF", "TIFF", "BMP"):
        assert_photo(load_photo(encoded(palette, kind)), wanted)
    hole = palette.getpixel((0, 0))
    here = np.asarray(palette) == hole
    for transparency in (hole, bytes(0 if i == hole else 255 for i in range(256))):
        result = load_photo(encoded(palette, "PNG", transparency=transparency))
        assert_photo(result, np.where(here[:, :, None], 255, wanted))
    assert_photo(
        load_photo(encoded(palette, "GIF", transparency=hole)), np.where(here[:, :, None], 255, wanted)
    )


def test_a_transparent_colour_of_a_picture_without_alpha():
    pixels = noise()
    data = encoded(pixels, "PNG", transparency=tuple(int(v) for v in pixels[4, 5]))
    wanted = pixels.copy()
    wanted[(pixels == pixels[4, 5]).all(-1)] = 255
    assert_photo(load_photo(data), wanted)


def test_cmyk_files():
    image = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    for kind in ("JPEG", "TIFF"):
        assert_photo(load_photo(encoded(image, kind)), np.array((255, 0, 0)), tolerance=3)


def test_one_bit_and_grey_files():
    bits = noise(channels=0) > 99
    for kind in ("PNG", "TIFF", "BMP"):
        assert_photo(load_photo(encoded(Image.fromarray(bits), kind)), grey(bits * 255))
        assert_photo(load_photo(encoded(noise(channels=0), kind)), grey(noise(channels=0)))


@pytest.mark.parametrize("kind", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [0, 3])
def test_files_of_sixteen_bits(kind, channels):
    pixels = noise(channels=channels, dtype=np.uint16)
    data = cv2.imencode(kind, pixels)[1].tobytes()
    wanted = np.rint(pixels / 257)
    wanted = wanted[..., ::-1] if channels else grey(wanted)
    # of colour, Pillow itself takes the upper 8 bits
    assert_photo(load_photo(data), wanted, tolerance=1 if channels else 0)


def test_float_tiffs():
    pixels = noise(channels=0)
    assert_photo(load_photo(encoded((pixels / 255).astype(np.float32), "TIFF")), grey(pixels))
    with pytest.raises(ValueError, match=r"floats in 0\.\.1, got 0 to 255"):
        load_photo(encoded(pixels.astype(np.float32), "TIFF"))


def test_integers_outside_sixteen_bits():
    for values in ([[-1, 5]], [[0, 70_000]]):
        with pytest.raises(ValueError, match=r"0\.\.65535"):
            load_photo(Image.fromarray(np.array(values, np.int32)))


# ---------------------------------------------------------------- orientation, animation

UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation(kind, orientation):
    pixels = np.kron(noise(2, 3), np.ones((16, 16, 1), np.uint8))
    exif = Image.Exif()
    exif[274] = orientation
    options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    data = encoded(pixels, kind, exif=exif, **options)
    wanted = UPRIGHT[orientation](pixels)
    result = load_photo(data)
    assert result.shape == wanted.shape
    if kind == "JPEG":
        middle = (slice(8, None, 16), slice(8, None, 16))
        assert_photo(np.ascontiguousarray(result[middle]), wanted[middle], tolerance=12)
    else:
        assert_photo(result, wanted)
    assert_photo(load_photo(Image.open(io.BytesIO(data))), result)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    "payload",
    [
        b"garbage",
        b"",
        b"II*\0\xff\xff\xff\x7f",
        b"II*\0\x08\0\0\0\xff\xff",
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x09",
    ],
    ids=["garbage", "empty", "far offset", "many entries", "cut"],
)
def test_damaged_exif_does_not_spoil_the_picture(payload):
    data, payload = encoded(noise(), "JPEG"), b"Exif\0\0" + payload
    segment = b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload
    assert_photo(load_photo(data[:2] + segment + data[2:]), load_photo(data))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_first_frame_of_an_animation(kind):
    first, second = (Image.new("RGB", (8, 6), colour) for colour in ((250, 0, 0), (0, 0, 250)))
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(first, kind, save_all=True, append_images=[second], **options)
    frames = [
        frame.convert("RGB").getpixel((0, 0))
        for frame in ImageSequence.Iterator(Image.open(io.BytesIO(data)))
    ]
    assert len(frames) == 2
    assert_photo(load_photo(data), np.array((250, 0, 0)), tolerance=1)


# ---------------------------------------------------------------- damage


def _samples() -> dict[str, bytes]:
    pixels = np.kron(noise(4, 5), np.ones((8, 8, 1), np.uint8))
    return {
        "JPEG": encoded(pixels, "JPEG"),
        "progressive JPEG": encoded(pixels, "JPEG", progressive=True),
        "PNG": encoded(noise(), "PNG"),
        "GIF": encoded(pixels, "GIF"),
        "WEBP": encoded(pixels, "WEBP"),
        "TIFF": encoded(pixels, "TIFF"),
        "BMP": encoded(pixels, "BMP"),
    }


SAMPLES = _samples()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("kind", SAMPLES)
def test_truncated_files_are_refused(kind):
    """At any length; a file that lacks no more than its end mark may be read, and then it is all there."""
    data = SAMPLES[kind]
    whole = load_photo(data)
    lengths = {1, 2, 8, 20, *(len(data) * k // 16 for k in range(1, 16))}
    for length in lengths:
        with pytest.raises(ValueError, match=r"the bytes (is|are|has|have)"):
            load_photo(data[:length])
    for length in range(len(data) - 24, len(data)):
        try:
            result = load_photo(data[:length])
        except ValueError:
            continue
        np.testing.assert_array_equal(result, whole)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(SAMPLES)),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damaged_files_are_read_or_refused(kind, damage):
    data = bytearray(SAMPLES[kind])
    for place, value in damage:
        data[place % len(data)] = value
    try:
        result = load_photo(bytes(data))
    except ValueError:
        return
    assert_photo(result, result)


def test_a_decoder_may_fail_in_any_way(monkeypatch):
    image = Image.fromarray(noise())
    for error in (
        RuntimeError("decoder"),
        IndexError("decoder"),
        struct.error("decoder"),
        zlib.error("decoder"),
    ):
        monkeypatch.setattr(image, "copy", _raiser(error))
        monkeypatch.setattr(image, "convert", _raiser(error))
        with pytest.raises(ValueError, match="damaged"):
            load_photo(image)
    monkeypatch.setattr(image, "convert", _raiser(MemoryError()))
    monkeypatch.setattr(image, "copy", _raiser(MemoryError()))
    with pytest.raises(MemoryError):
        load_photo(image)


def _raiser(error: Exception):
    def fail(*_args, **_options):
        raise error

    return fail


@pytest.mark.parametrize(
    "text", [b"", b"a text, not a picture", "Kätzchen".encode(), b"\0" * 100, b"<svg></svg>"]
)
def test_text_called_jpg(tmp_path, text):
    path = tmp_path / "cat.jpg"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=r"cat\.jpg is not a picture"):
        load_photo(path)
    with pytest.raises(ValueError, match="not a picture"):
        load_photo(text)
    with (
        open(path, encoding="utf-8", errors="replace") as file,
        pytest.raises(ValueError, match="not a picture"),
    ):
        load_photo(file)


def png_of(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "size", [(20_000, 10_000), (10_001, 10_000), (13_000, 13_000), (2**31 - 1, 2**31 - 1)], ids=str
)
def test_too_many_pixels_are_refused_by_their_header(size, tmp_path):
    assert size[0] * size[1] > MAX_PIXELS
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of(*size))
    with pytest.raises(ValueError, match=r"bomb\.png has .*100,000,000"):
        load_photo(path)
    with pytest.raises(ValueError, match="pixels"):
        load_photo(path.read_bytes())


def test_a_bomb_of_small_bytes_and_an_empty_picture():
    with pytest.raises(ValueError, match=r"damaged|not a picture"):
        load_photo(png_of(100, 100))
    with pytest.raises(ValueError, match=r"not a picture|no pixels"):
        load_photo(png_of(0, 5))
    with pytest.raises(ValueError, match="no pixels"):
        load_photo(Image.new("RGB", (0, 5)))
    with pytest.raises(ValueError, match="pixels"):
        load_photo(Image.new("1", (20_000, 10_000)))


def test_closed_files_and_images():
    file = io.BytesIO(encoded(noise(), "PNG"))
    file.close()
    with pytest.raises(ValueError, match="file"):
        load_photo(file)
    image = Image.open(io.BytesIO(encoded(noise(), "PNG")))
    image.close()
    with pytest.raises(ValueError, match="PIL image"):
        load_photo(image)


# ---------------------------------------------------------------- what is no source


@pytest.mark.parametrize(
    "path",
    ["nowhere.jpg", "", "~nosuchuser/a.jpg", "a\0b", "x" * 5000, Path("nowhere.jpg"), "folder"],
    ids=["missing", "empty", "no user", "null byte", "too long", "Path", "folder"],
)
def test_paths_without_a_file(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileNotFoundError, match="no file"):
        load_photo(path)


@pytest.mark.parametrize(
    "address", ["http://example.org/cat.jpg", "https://example.org", "HTTPS://example.org"]
)
def test_addresses_are_not_fetched(address):
    with pytest.raises(ValueError, match="download"):
        load_photo(address)


@pytest.mark.parametrize(
    "source", [None, 3, 0.5, True, object(), {1, 2}, torch.zeros(3, 4, 4), noise, np.uint8(3)]
)
def test_what_is_no_source(source):
    with pytest.raises(TypeError, match="source"):
        load_photo(source)


# ------------------------------------------------------------------ only what the message names is opened


def test_formats_that_start_programs_or_depend_on_pillow_are_refused(tmp_path, monkeypatch):
    """Pillow hands EPS to Ghostscript where that is installed: a stranger's file must start nothing."""

    def started(*_, **__):
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "check_call", started)
    monkeypatch.setattr(subprocess, "Popen", started)
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    files = {"EPS": eps, "AVIF": b"\0\0\0\x1cftypavif" + b"\0" * 400}
    for kind in ("PPM", "PCX", "TGA", "ICO", "DDS", "SGI", "PDF", "JPEG2000"):
        buffer = io.BytesIO()
        with suppress(KeyError, OSError):
            Image.new("RGB", (8, 8)).save(buffer, format=kind)
            files[kind] = buffer.getvalue()
    for data in files.values():
        for source in (data, io.BytesIO(data)):
            with pytest.raises(ValueError, match="not a picture that can be read here"):
                load_photo(source)
    path = tmp_path / "x.jpg"
    path.write_bytes(eps)
    with pytest.raises(ValueError, match=r"x\.jpg is not a picture"):
        load_photo(path)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow knows no AVIF")
def test_avif_sound_or_damaged_is_refused_with_advice():
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, format="AVIF")
    data = buffer.getvalue()
    for content in (data, data[:-20], data[:60] + b"\xff" * 40 + data[100:]):
        with pytest.raises(ValueError, match="AVIF as JPEG"):
            load_photo(content)


PEAK = """
import io, sys
import numpy as np
from PIL import Image
from lecturekit.datasets.photos import load_photo
kind = sys.argv[1]
buffer = io.BytesIO()
pixels = np.zeros((9000, 11000), np.uint16 if kind == "I;16" else bool)
Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
data, pixels = buffer.getvalue(), None
image = np.zeros((1, 1, 3))
def peak():  # of this process alone: getrusage begins with that of the one that started it
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak()
picture = load_photo(data)
print(picture.shape, (peak() - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks are told in other units elsewhere")
@pytest.mark.parametrize("kind", ["1", "I;16"])
def test_a_small_file_of_a_hundred_megapixels_does_not_fill_the_memory(kind):
    """The picture itself takes 297 MB; what it is made of, 99 or 198 MB more, and a strip's worth of work."""
    shape, peak = printed(PEAK, kind).rsplit(" ", 1)
    assert shape == "(9000, 11000, 3)"
    assert int(peak) < 650
