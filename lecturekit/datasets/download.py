"""Photographs from the net, only when the reader asks: checked by hash, resumed, unpacked beside and renamed.

A broken download is never taken for a whole one: a file gets its name when its hash is right, a data set gets
its folder when its last file is unpacked.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import secrets
import shutil
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock
from tqdm.auto import tqdm

from ..kit.checks import choice, number
from ..kit.storage import data_dir
from .sources import SOURCES, File, Source

#: Bytes read at a time.
CHUNK = 1 << 20
#: How often a mirror is asked to go on after it broke off in the middle.
TRIES = 3


#: Bytes a second. A mirror that sends less over the time of `timeout` is given up as one that sends nothing.
SLOWEST = 1000
#: Times `timeout` that a mirror has for the head of its answer, redirects and all.
HEAD = 2


class FetchError(OSError):
    """A data set could not be had. The message says what each mirror answered and what to do."""


class _MirrorError(Exception):
    """What is wrong with one mirror; the next may be sound."""


class _WrongBytesError(_MirrorError):
    """As many bytes as wanted, but others."""


def fetch(
    name: str,
    *,
    source: str | Path | None = None,
    sources: Mapping[str, Source] = SOURCES,
    timeout: float = 30.0,
    progress: bool = True,
) -> Path:
    """Bring a data set to this machine, or find it there.

    Files come from the first mirror that answers with the right bytes. What a break left behind is used the
    next time. Archives are deleted once they are unpacked; one that came by `source` stays where it is.

    Args:
        name: of `sources`: ``"voc2012"``, ``"sbd"``, ``"coco-val"`` or ``"bsds500"``.
        source: an archive, or the folder with the archives, that came another way (a USB stick in class);
            nothing is fetched then.
        sources: the table of what there is.
        timeout: seconds without a byte, or with next to none, after which a mirror is given up, above 0.
        progress: show bars.

    Returns:
        The folder with the data: for VOC the one with ``JPEGImages``. It lies under
        ``data_dir() / "photographs"``.

    Raises:
        ValueError: another name, or a timeout of 0 or less.
        FileNotFoundError: `source` does not exist, or lacks an archive.
        FetchError: no mirror gave the right bytes, the disk is too full, or an archive is not what it should
            be. No data set is left that looks whole and is not.
    """
    about = sources[choice("name", name, sources)]
    number("timeout", timeout, 0, open_=True)
    home = data_dir() / "photographs"
    found = home / name
    home.mkdir(parents=True, exist_ok=True)
    with FileLock(home / f".{name}.lock"):
        if not found.is_dir():
            _check_disk(home, about, brought=source is not None)
            archives = _brought(about, Path(source)) if source else _fetched(about, home, timeout, progress)
            _unpack(archives, found, about, progress)
            if not source:
                for archive in archives:
                    archive.unlink()
    return found / about.folder


def folder(name: str, sources: Mapping[str, Source] = SOURCES) -> Path | None:
    """Where a data set lies on this machine, or None; nothing is fetched.

    Args:
        name: of `sources`. For ``"voc2012"`` the environment variable ``LECTUREKIT_VOC`` may name a folder.
        sources: the table of what there is.

    Raises:
        ValueError: another name.
    """
    about = sources[choice("name", name, sources)]
    named = os.environ.get("LECTUREKIT_VOC") if name == "voc2012" else None
    place = Path(named) if named else data_dir() / "photographs" / name / about.folder
    return place if place.is_dir() else None


# ---------------------------------------------------------------------------------------------- disk, source


def _check_disk(home: Path, about: Source, brought: bool) -> None:
    """``FetchError`` where the files, and the archives unless they are brought, do not fit."""
    partly = sum(part.stat().st_size for part in home.glob("*.part"))
    needed = about.unpacked + (0 if brought else sum(file.size for file in about.files) - partly)
    free = shutil.disk_usage(home).free
    if free < needed:
        raise FetchError(
            f"{about.title} needs {_gigabytes(needed)} of free disk, and {home} has {_gigabytes(free)}. "
            "Make room, or choose another disk with the environment variable LECTUREKIT_DATA."
        )


def _brought(about: Source, source: Path) -> list[Path]:
    """The archives that came another way, each with the right bytes."""
    if not source.exists():
        raise FileNotFoundError(f"source must be an archive or a folder with it, and there is no {source}")
    archives = [source / file.name if source.is_dir() else source for file in about.files]
    for file, archive in zip(about.files, archives, strict=True):
        if not archive.is_file():
            raise FileNotFoundError(f"source must hold {file.name}, and there is no {archive}")
        try:
            _check_bytes(archive, file)
        except _MirrorError as error:
            raise FetchError(f"{archive} is no {file.name}: {error}") from None
    return archives


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"


# ------------------------------------------------------------------------------------------------- the net


def _fetched(about: Source, home: Path, timeout: float, progress: bool) -> list[Path]:
    return [_from_mirrors(file, home, timeout, progress) for file in about.files]


def _from_mirrors(file: File, home: Path, timeout: float, progress: bool) -> Path:
    """The file from the first mirror with the right bytes; what is there already is used."""
    done, part = home / file.name, home / f"{file.name}.part"
    if done.exists():
        done.replace(part)  # from a run that ended before it unpacked; its bytes are checked again
    answers = []
    for url in file.urls:
        resumed = part.exists()
        try:
            try:
                _complete(part, file, url, timeout, progress)
            except _WrongBytesError:
                if not resumed:
                    raise
                _complete(part, file, url, timeout, progress)  # what lay there was wrong, not this mirror
        except _MirrorError as error:
            answers.append(f"{urlsplit(url).hostname}: {error}")
        else:
            return part.replace(done)
    told = "\n  ".join(answers)
    raise FetchError(
        f"{file.name} could not be fetched.\n  {told}\nWhat came is kept and used the next time. "
        f"If you have {file.name} from elsewhere, name it: --from PATH"
    )


def _complete(part: Path, file: File, url: str, timeout: float, progress: bool) -> None:
    """Fetch what is missing of `part`, and check it."""
    for _ in range(TRIES):
        _continue(part, file, url, timeout, progress)
        if part.stat().st_size == file.size:
            break
    _check_bytes(part, file)


def _continue(part: Path, file: File, url: str, timeout: float, progress: bool) -> None:
    """Append to `part` what the mirror has beyond it, until the file is whole or the mirror breaks off."""
    start = part.stat().st_size if part.exists() else 0
    if start > file.size:
        start = 0
    if start == file.size:
        return
    request = Request(url, headers={"User-Agent": "lecturekit", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        with _asked(request, timeout) as answer:
            start = _agreed_start(answer, start, file)
            with open(part, "r+b" if start else "wb") as kept:
                kept.seek(start)
                kept.truncate()
                _copy(answer, kept, file, start, timeout, progress)
    except HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.unlink()  # its file is another one, or shorter: begin anew
        raise _MirrorError(f"answers {error.code} {error.reason}") from None
    except URLError as error:
        raise _MirrorError(f"cannot be reached ({error.reason})") from None
    except TimeoutError:
        raise _MirrorError(f"sent nothing for {timeout:g} s") from None
    except http.client.IncompleteRead:
        return  # it broke off; the next try goes on from there
    except (http.client.HTTPException, ConnectionError) as error:
        raise _MirrorError(f"broke off ({error or type(error).__name__})") from None
    except ValueError as error:
        raise _MirrorError(f"leads to an address that is none ({error})") from None


def _asked(request: Request, timeout: float) -> http.client.HTTPResponse:
    """The mirror's answer, once its head is whole.

    The timeout of ``urlopen`` begins anew with every byte, so a mirror that drips its head would hold us for
    ever. It is asked from a thread that may be left behind.
    """
    future: Future[http.client.HTTPResponse] = Future()

    def ask() -> None:
        try:
            future.set_result(urlopen(request, timeout=timeout))
        except BaseException as error:  # the caller raises it
            future.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return future.result(HEAD * timeout)
    except TimeoutError:
        if future.done():
            raise
        raise _MirrorError(f"did not answer in {HEAD * timeout:g} s") from None


def _agreed_start(answer: http.client.HTTPResponse, start: int, file: File) -> int:
    """From where the mirror sends: from `start` if it says so, from 0 if it does not know ranges."""
    length = answer.headers.get("Content-Length")
    if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
        start = 0
    elif not (answer.headers.get("Content-Range") or "").startswith(f"bytes {start}-"):
        raise _MirrorError("sends another part than it was asked for")
    if length is not None and (not length.isdecimal() or int(length) != file.size - start):
        raise _MirrorError(f"has {length} bytes where {file.size - start} are wanted")
    return start


def _copy(
    answer: http.client.HTTPResponse, kept: BinaryIO, file: File, start: int, timeout: float, progress: bool
) -> None:
    """Write what comes, never more than the file should have."""
    left = file.size - start
    since, came = time.monotonic(), 0
    with _bar(file.size, start, file.name, progress) as bar:
        while left > 0 and (block := _block(answer, min(CHUNK, left))):
            _write(kept, block)
            bar.update(len(block))
            left -= len(block)
            came += len(block)
            if time.monotonic() - since > timeout:
                if came < SLOWEST * timeout:
                    raise _MirrorError(f"sent only {came} bytes in {timeout:g} s")
                since, came = time.monotonic(), 0


def _block(answer: http.client.HTTPResponse, size: int) -> bytes:
    """What comes next. A network can fail in the middle, too, and that is no fault of the disk."""
    try:
        return answer.read1(size)
    except TimeoutError:
        raise
    except OSError as error:
        raise _MirrorError(f"broke off ({error})") from None


def _write(kept: BinaryIO, block: bytes) -> None:
    """Write; a disk that fills up meanwhile, or is taken away, is no mirror's fault: no other is asked."""
    try:
        kept.write(block)
        kept.flush()
    except OSError as error:
        raise FetchError(
            f"{kept.name} cannot be written ({error.strerror}). What came before is kept and used the next "
            "time. Make room, or choose another disk with the environment variable LECTUREKIT_DATA."
        ) from error


def _check_bytes(path: Path, file: File) -> None:
    """``_MirrorError`` unless size and hash are right; wrong bytes are deleted where they are a download."""
    size = path.stat().st_size
    if size != file.size:
        raise _MirrorError(f"{size} of {file.size} bytes came")
    kind = "sha256" if file.sha256 else "md5"
    with open(path, "rb") as opened:
        found = hashlib.file_digest(opened, kind).hexdigest()
    if found != (file.sha256 or file.md5):
        if path.suffix == ".part":
            path.unlink()
        raise _WrongBytesError(f"its bytes are others than expected ({kind} {found[:12]}…)")


# --------------------------------------------------------------------------------------------------- archives


def _unpack(archives: list[Path], target: Path, about: Source, progress: bool) -> None:
    """Unpack all archives beside `target` and rename: the folder is there whole or not at all."""
    for old in target.parent.glob(f".{target.name}.unpacking-*"):
        shutil.rmtree(old, ignore_errors=True)  # of a run that was ended
    beside = target.with_name(f".{target.name}.unpacking-{secrets.token_hex(4)}")
    try:
        beside.mkdir()
        for archive in archives:
            _unpack_one(archive, beside, 4 * about.unpacked, progress)
        if not (beside / about.folder).is_dir():
            raise FetchError(f"the archives of {about.title} hold no folder {about.folder}")
        os.replace(beside, target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


#: What is raised for an archive that is none, is cut short or wants a password, for names that no file can
#: have, and by a full disk.
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,
    ValueError,
    OSError,
)


def _unpack_one(archive: Path, beside: Path, limit: int, progress: bool) -> None:
    try:
        with zipfile.ZipFile(archive) if archive.suffix == ".zip" else tarfile.open(archive) as opened:
            members = _members(opened, limit)
            with _bar(len(members), 0, f"unpacking {archive.name}", progress, unit="files") as bar:
                for member in members:
                    if isinstance(opened, zipfile.ZipFile):
                        opened.extract(member, beside)
                    else:
                        opened.extract(member, beside, filter="data")
                    bar.update(1)
    except FetchError:
        raise
    except _DAMAGED as error:
        raise FetchError(f"{archive.name} cannot be unpacked: {error}") from error


def _members(opened: zipfile.ZipFile | tarfile.TarFile, limit: int) -> list:
    """The archive's entries, none of which leads outside or is anything but a file or a folder."""
    total = 0
    if isinstance(opened, zipfile.ZipFile):
        members = opened.infolist()
        entries = [(m.filename, m.file_size, (m.external_attr >> 16) & 0o170000 != 0o120000) for m in members]
    else:
        members = opened.getmembers()
        entries = [(m.name, m.size, m.isfile() or m.isdir()) for m in members]
    for name, size, plain in entries:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in name or not plain:
            raise FetchError(f"the archive holds {name[:60]!r}, which leads outside its folder or is no file")
        total += size
    if total > limit:
        raise FetchError(f"the archive unpacks to {_gigabytes(total)}, far more than it should")
    return members


@contextmanager
def _bar(total: int, start: int, what: str, progress: bool, unit: str = "B") -> Generator[tqdm]:
    with tqdm(total=total, initial=start, desc=what, unit=unit, unit_scale=True, disable=not progress) as bar:
        yield bar
