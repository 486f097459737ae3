"""Where a reader's files go, and that none is ever lost half-way."""

import multiprocessing
import os
import threading
import time
from pathlib import Path

import pytest

from lecturekit.kit import storage
from lecturekit.kit.storage import data_dir, replacing, write_atomic


@pytest.fixture
def unset(monkeypatch):
    """No folder named by the environment; the checkout and the user's folder are made to order."""
    monkeypatch.delenv("LECTUREKIT_DATA")
    storage._temporary.cache_clear()
    yield monkeypatch
    storage._temporary.cache_clear()


def blocked(folder: Path) -> Path:
    """A path below a file, where nobody (root neither) can make a folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file stands here")
    return folder / "below"


def test_the_environment_names_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "mine" / "deep"))
    assert data_dir() == tmp_path / "mine" / "deep"
    assert data_dir().is_dir()


def test_a_relative_or_home_folder_is_made_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LECTUREKIT_DATA", "here")
    assert data_dir() == tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("LECTUREKIT_DATA", str(Path("~") / "there"))
    assert data_dir() == tmp_path / "there"


def test_a_named_folder_that_cannot_be_written_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("LECTUREKIT_DATA", str(blocked(tmp_path / "file")))
    with pytest.raises(ValueError, match="LECTUREKIT_DATA"):
        data_dir()


def test_a_named_folder_that_can_only_be_read_is_taken_with_a_warning(monkeypatch, tmp_path):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path))
    monkeypatch.setattr(storage, "_writable", lambda _: False)
    with pytest.warns(UserWarning, match="nothing can be written"):
        assert data_dir() == tmp_path


def test_order_checkout_then_user_then_temporary(unset, tmp_path):
    checkout, user = tmp_path / "checkout", tmp_path / "user"
    (checkout / "notebooks").mkdir(parents=True)
    unset.setattr(storage, "ROOT", checkout)
    unset.setattr(storage.platformdirs, "user_data_dir", lambda *_, **__: str(user))
    assert data_dir() == checkout / "data"

    (checkout / "data").rmdir()
    blocked(checkout / "data")
    assert data_dir() == user

    unset.setattr(storage.platformdirs, "user_data_dir", lambda *_, **__: str(blocked(tmp_path / "f")))
    last = data_dir()
    assert last.is_dir()
    assert storage.is_temporary(last)
    assert data_dir() == last
    last.rmdir()


def test_an_installed_copy_keeps_out_of_its_own_folder(unset, tmp_path):
    unset.setattr(storage, "ROOT", tmp_path / "site-packages")
    unset.setattr(storage.platformdirs, "user_data_dir", lambda *_, **__: str(tmp_path / "user"))
    assert data_dir() == tmp_path / "user"
    assert not storage.is_temporary(data_dir())


@pytest.mark.parametrize("content", ["naïve × text\nwith two lines\r\n", b"\x00\xff bytes", ""])
def test_written_content_comes_back_and_nothing_is_left_beside(tmp_path, content):
    path = write_atomic(tmp_path / "new" / "file.bin", content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file(monkeypatch, tmp_path, failing):
    path = write_atomic(tmp_path / "kept.txt", "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [None, 3, ["a"], bytearray(b"x")])
def test_other_content_is_refused_before_anything_is_written(tmp_path, content):
    path = write_atomic(tmp_path / "kept.txt", "old")
    with pytest.raises(TypeError, match="content"):
        write_atomic(path, content)
    assert path.read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses to replace a file that is open elsewhere")
def test_readers_see_one_whole_version_while_writers_compete(tmp_path):
    versions = {letter * 50_000 for letter in "abcd"}
    path = write_atomic(tmp_path / "ladder.json", "a" * 50_000)
    writers = [
        threading.Thread(target=lambda v=v: [write_atomic(path, v) for _ in range(10)]) for v in versions
    ]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        seen.add(path.read_text())
    assert seen <= versions
    assert path.read_text() in versions
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="file modes are POSIX's")
def test_a_new_file_has_the_mode_of_any_other(tmp_path):
    (tmp_path / "plain").write_text("x")
    assert write_atomic(tmp_path / "ours", "x").stat().st_mode == (tmp_path / "plain").stat().st_mode


# ------------------------------------------------------------------ streams, and what killed writers leave


def test_a_stream_takes_the_place_of_the_file_only_when_all_is_written(tmp_path):
    path = write_atomic(tmp_path / "rows.bin", "old")
    with replacing(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
        file.seek(0)
        assert file.read() == b"new"
    assert path.read_text() == "new"
    with pytest.raises(TypeError), replacing(path) as file:
        file.write("no bytes")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def _killed_while_writing(path, ready):
    with replacing(path) as file:
        file.write(b"half")
        ready.set()
        time.sleep(3600)


@pytest.mark.skipif(os.name == "nt", reason="Windows cannot be asked whether a process runs without harm")
def test_what_a_killed_writer_left_is_swept_and_a_living_one_is_left_alone(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    worker = context.Process(target=_killed_while_writing, args=(tmp_path / "one.bin", ready), daemon=True)
    worker.start()
    assert ready.wait(600)
    write_atomic(tmp_path / "other.txt", "x")
    assert len(list(tmp_path.glob(".*.part"))) == 1  # it lives
    worker.kill()
    worker.join()
    write_atomic(tmp_path / "other.txt", "x")
    assert [p.name for p in tmp_path.iterdir()] == ["other.txt"]


def test_files_of_other_machines_are_swept_after_a_day_and_strangers_never(tmp_path):
    names = (".a.00000000-1-00000000.part", ".b.00000000-1-00000000.part", ".c.part", "d.part")
    for name in names:
        (tmp_path / name).write_text("x")
    for name in (names[0], *names[2:]):
        os.utime(tmp_path / name, (0, 0))
    storage.sweep(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == set(names[1:])


def test_a_file_that_a_scanner_holds_for_a_moment_is_replaced(monkeypatch, tmp_path):
    path, real, refusals = write_atomic(tmp_path / "kept.txt", "old"), os.replace, iter([True, True, False])

    def held(*where):
        if next(refusals):
            raise PermissionError(13, "being scanned")
        real(*where)

    monkeypatch.setattr(os, "replace", held)
    monkeypatch.setattr(storage.time, "sleep", lambda _: None)
    assert write_atomic(path, "new").read_text() == "new"
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(PermissionError("for good")))
    with pytest.raises(PermissionError):
        write_atomic(path, "newer")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["new"]


def test_a_long_name_can_be_written(tmp_path):
    assert write_atomic(tmp_path / ("n" * 250), "x").read_text() == "x"


def test_text_that_is_no_utf8_leaves_the_old_file(tmp_path):
    path = write_atomic(tmp_path / "kept.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "\ud800")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]
