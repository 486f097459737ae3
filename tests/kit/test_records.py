"""JSON files that several notebooks write: damage, locks, failed writes."""

import errno
import json
import multiprocessing
import os
import warnings

import pytest

from lecturekit.kit import records

if os.name != "nt":
    import fcntl


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "things.json"


def test_what_is_written_is_read(path):
    content = {"ä": [1, 2.5, None, "→"]}
    with records.locked(path):
        records.write(path, content)
        assert records.read(path) == content


def test_absent_file_reads_as_none(path):
    with records.locked(path):
        assert records.read(path) is None


@pytest.mark.parametrize("damage", [b"", b'{"a": ', b"\xff\xfe{}", b"\0" * 100, b"[" * 100_000])
def test_damaged_file_is_set_aside_and_told(path, damage):
    path.parent.mkdir()
    path.write_bytes(damage)
    with pytest.warns(UserWarning, match=r"things.damaged-1.json"):
        assert records.read(path) is None
    assert not path.exists()
    assert path.with_name("things.damaged-1.json").read_bytes() == damage


def test_files_set_aside_earlier_stay(path):
    path.parent.mkdir()
    for number in (1, 2, 3):
        path.write_text(f"damage {number}")
        with pytest.warns(UserWarning, match=f"damaged-{number}"):
            records.set_aside(path)
    texts = [path.with_name(f"things.damaged-{n}.json").read_text() for n in (1, 2, 3)]
    assert texts == ["damage 1", "damage 2", "damage 3"]


def test_what_json_cannot_hold_leaves_the_old_file(path):
    records.write(path, {"old": 1})
    for content, error in ((float("nan"), ValueError), (object(), TypeError)):
        with pytest.raises(error):
            records.write(path, content)
    assert json.loads(path.read_text()) == {"old": 1}
    assert os.listdir(path.parent) == [path.name]


def test_lock_held_by_another_is_an_error_in_the_end(path, monkeypatch):
    monkeypatch.setattr(records, "PATIENCE", 0.05)
    with (
        records.locked(path),
        pytest.raises(TimeoutError, match=r"things.json locked for 0.05 seconds"),
        records.locked(path),
    ):
        pytest.fail("two hold the lock")


def test_lock_is_freed_by_an_error(path, monkeypatch):
    monkeypatch.setattr(records, "PATIENCE", 0.05)
    with pytest.raises(KeyError), records.locked(path):
        raise KeyError
    with records.locked(path):
        assert path.parent.is_dir()


def _count(path, times):
    for _ in range(times):
        with records.locked(path):
            records.write(path, (records.read(path) or 0) + 1)


def _die_holding(path):
    with records.locked(path):
        os._exit(1)


def test_processes_take_turns(path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_count, args=(path, 20)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0, 0, 0]
    assert records.read(path) == 60


def test_lock_dies_with_its_holder(path, monkeypatch):
    monkeypatch.setattr(records, "PATIENCE", 5)
    worker = multiprocessing.get_context("spawn").Process(target=_die_holding, args=(path,))
    worker.start()
    worker.join()
    assert worker.exitcode == 1
    with warnings.catch_warnings(), records.locked(path):
        assert records.read(path) is None


def test_a_folder_first_locked_by_the_system_can_be_locked_without(path, monkeypatch):
    """The file of the system's lock stays; to the other sort of lock any file is a lock that is held."""
    monkeypatch.setattr(records, "PATIENCE", 0.5)
    for _ in range(2):
        with records.locked(path):
            records.write(path, [1])
        with monkeypatch.context() as without:
            without.setattr(records, "_has_locks", lambda _: False)
            with records.locked(path):
                records.write(path, [2])
            with records.locked(path), pytest.raises(TimeoutError), records.locked(path):
                pytest.fail("two hold the lock")
    assert records.read(path) == [2]


@pytest.mark.skipif(os.name == "nt", reason="flock is POSIX's")
def test_a_system_without_flock_is_noticed(path, monkeypatch):
    path.parent.mkdir()

    def absent(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    assert records._has_locks(path)
    monkeypatch.setattr(fcntl, "flock", absent)
    assert not records._has_locks(path)
    with records.locked(path):
        assert path.with_name(".things.json.soft-lock").exists()
    monkeypatch.setattr(records, "fcntl", None)
    assert not records._has_locks(path)


def test_reading_needs_no_lock_where_nothing_can_be_written(path, monkeypatch):
    records.write(path, {"kept": 1})

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(records.FileLock, "acquire", refused)
    with records.locked(path, reading=True) as writable:
        assert not writable
        assert records.read(path, writable) == {"kept": 1}
    with pytest.raises(PermissionError), records.locked(path):
        pytest.fail("nobody can lock it")
    path.write_text("{")
    with pytest.warns(UserWarning, match="nothing can be written beside it"):
        assert records.read(path, writable=False) is None
    assert path.read_text() == "{"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_of_another_user_is_read(path):
    records.write(path, {"kept": 1})
    path.parent.chmod(0o555)
    for folder in path.parent.parents:
        if not folder.stat().st_mode & 0o001:
            pytest.skip("the folder cannot be reached by another user")
    process = multiprocessing.get_context("spawn").Process(target=_read_as_nobody, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == 0


def _read_as_nobody(path):
    os.seteuid(65534)
    with records.locked(path, reading=True) as writable:
        content = records.read(path, writable)
    os._exit(0 if (writable, content) == (False, {"kept": 1}) else 1)


def test_numbers_and_bytes_that_python_refuses_do_not_take_the_rest_with_them(path):
    path.parent.mkdir()
    path.write_bytes(b'\xef\xbb\xbf{"sound": 1, "digits": ' + b"9" * 5000 + b', "bytes": "\xff"}')
    content = records.read(path)
    assert content["sound"] == 1
    assert content["digits"] == float("inf")
    with pytest.raises(UnicodeEncodeError):
        content["bytes"].encode()
