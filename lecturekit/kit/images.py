"""Images in and out: one check for all functions that take one, and one way to encode one."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def checked_image(image: object, name: str = "image") -> NDArray[np.uint8]:
    """The image, if it is ``uint8`` RGB ``(H, W, 3)`` and has pixels.

    Args:
        image: an array.
        name: of the argument, for the message.

    Raises:
        TypeError: no array.
        ValueError: an array of another kind or shape, or without pixels.

    Example:
        >>> checked_image(np.zeros((4, 6, 3), np.uint8)).shape
        (4, 6, 3)
        >>> checked_image(np.zeros((4, 6), np.uint8))
        Traceback (most recent call last):
        ...
        ValueError: image must be uint8 RGB of shape (H, W, 3) with pixels, got uint8 (4, 6)
    """
    wanted = f"{name} must be uint8 RGB of shape (H, W, 3) with pixels"
    if not isinstance(image, np.ndarray):
        raise TypeError(f"{wanted}, got {type(image).__name__}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"{wanted}, got {image.dtype} {image.shape}")
    return image


def checked_images(images: object, name: str = "images") -> list[NDArray[np.uint8]]:
    """A list of images of any sizes, at least one; a stack ``(B, H, W, 3)`` becomes a list.

    Args:
        images: ``uint8`` RGB, ``(B, H, W, 3)`` or a sequence of ``(H, W, 3)``.
        name: of the argument, for the message.

    Raises:
        TypeError: neither a stack nor a sequence, or an entry that is no array.
        ValueError: none at all, one image alone, or an entry of another kind or shape.
    """
    if isinstance(images, np.ndarray):
        if images.ndim != 4:
            raise ValueError(f"{name} must be (B, H, W, 3) or a list of images, got shape {images.shape}")
    elif not isinstance(images, Sequence) or isinstance(images, str | bytes):
        raise TypeError(f"{name} must be a list of uint8 RGB arrays, got {type(images).__name__}")
    if len(images) == 0:
        raise ValueError(f"{name} must hold at least one image, got none")
    return [checked_image(image, f"{name}[{k}]") for k, image in enumerate(images)]


def encoded(image: NDArray[np.uint8], format_: str = "PNG", **options: object) -> bytes:
    """An image file's bytes.

    Args:
        image: ``uint8``, ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)``.
        format_: ``"PNG"``, ``"JPEG"`` or ``"WEBP"``.
        options: of Pillow's writer, such as ``quality=80``.

    Example:
        >>> encoded(np.zeros((2, 2), np.uint8))[1:4]
        b'PNG'
    """
    file = io.BytesIO()
    Image.fromarray(image).save(file, format_, **options)
    return file.getvalue()


def data_uri(file: bytes, mime: str = "image/png") -> str:
    """The bytes of an image file as an address that HTML can show without a file beside it."""
    return f"data:{mime};base64,{base64.b64encode(file).decode('ascii')}"


def html_image(file: bytes, alt: str, width: int | None = None, mime: str = "image/png") -> str:
    """An ``<img>`` that holds its file and says in words what it shows.

    Front ends and nbconvert drop the alternative text of an ``image/png`` output; one in HTML arrives.

    Args:
        file: bytes of an image file.
        alt: what is to be seen, for a reader who cannot see it.
        width: in CSS pixels; None for the file's own.
        mime: the file's type.

    Raises:
        ValueError: `alt` says nothing.

    Example:
        >>> html_image(b"...", "A cat on a mat", 300)
        '<img alt="A cat on a mat" width="300" src="data:image/png;base64,Li4u">'
    """
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"alt must say what the figure shows, got {alt!r}")
    size = "" if width is None else f' width="{width}"'
    return f'<img alt="{html.escape(alt)}"{size} src="{data_uri(file, mime)}">'
