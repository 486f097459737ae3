"""Reading files that may come from anywhere: a limit for their size, and messages that say what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

#: A larger file is not read.
MAX_BYTES = 20 * 10**6


def read_bytes(path: str | Path) -> bytes:
    """What a file holds; of one that is too large nothing is read.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it has more than `MAX_BYTES` bytes.
    """
    with open(path, "rb") as file:
        size = Path(path).stat().st_size
        if size > MAX_BYTES:
            raise ValueError(f"file must have at most {MAX_BYTES} bytes, got {size}")
        return file.read(MAX_BYTES)


def read_text(path: str | Path) -> str:
    """A file's text, UTF-8 with or without a byte order mark.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is too large, or no UTF-8.
    """
    return read_bytes(path).decode("utf-8-sig")


def read_json(path: str | Path) -> Any:
    """What a JSON file holds, if it is not too large, not too deep, and has finite numbers only.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: saying what is wrong with it.
    """
    text = read_bytes(path)
    try:
        return json.loads(text.decode("utf-8-sig"), parse_constant=_no_number)
    except RecursionError:
        raise ValueError("JSON must not be nested so deep") from None
    except ValueError as error:  # no JSON, no UTF-8, numbers of thousands of digits
        raise ValueError(f"this is no sound JSON: {error}") from None


def json_or_none(text: str | None) -> Any:
    """What a JSON text says, None where it is missing or damaged.

    Args:
        text: JSON, or None.
    """
    try:
        return json.loads(text, parse_constant=_no_number) if text else None
    except (ValueError, RecursionError):
        return None


def read_xml(path: str | Path) -> Element:
    """The root of an XML file without document type and entities, which could fill the memory or read files.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: saying what is wrong with it.
    """
    data = read_bytes(path)
    try:
        return ElementTree.fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise ValueError(f"XML must have no document type and no entities, got {error}") from None
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        raise ValueError(f"this is no XML: {error}") from None


def _no_number(name: str) -> None:
    raise ValueError(f"numbers must be finite, got {name}")
