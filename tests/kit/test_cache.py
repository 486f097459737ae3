"""Kept results: the same key for the same contents, and no damage that goes unnoticed."""

import dataclasses
import errno
import warnings

import numpy as np
import pytest

from lecturekit.kit import cache, storage


@dataclasses.dataclass
class Pair:
    """Something with parts."""

    a: object
    b: object


def test_a_key_tells_contents_apart():
    """Values, kinds, shapes, order and nesting all count; identity and memory layout do not."""
    table = np.arange(6.0).reshape(2, 3)
    things = [
        (),
        (1,),
        (1.0,),
        ("1",),
        (True,),
        (None,),
        ([1, 2], 3),
        (1, [2, 3]),
        ([1], [2]),
        ([1, 2],),
        (12,),
        (table,),
        (table.reshape(3, 2),),
        (table.astype("f4"),),
        (table.T,),
        (Pair(1, 2),),
        (Pair(2, 1),),
        ({"a": 1, "b": 2},),
    ]
    keys = [cache.content_key(*each) for each in things]
    assert len(set(keys)) == len(things)
    assert all(len(key) == 32 for key in keys)
    assert cache.content_key(np.asfortranarray(table)) == cache.content_key(table.copy())
    assert cache.content_key(Pair(table, "x")) == cache.content_key(Pair(table.copy(), "x"))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "folder" / "kept.npz"
    cache.write(path, "key", numbers=np.arange(500.0), name=np.array("word"))
    return path


def test_what_was_kept_comes_back(file):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cache.read(file, "key")
        assert cache.read(file.with_name("none.npz"), "key") is None
    assert set(found) == {"numbers", "name"}
    np.testing.assert_array_equal(found["numbers"], np.arange(500.0))
    assert str(found["name"]) == "word"


def flipped(content, place, bit):
    changed = bytearray(content)
    changed[place] ^= 1 << bit
    return bytes(changed)


def test_no_flipped_bit_gives_other_values(file):
    """Every third byte of the file in turn: the same arrays (a byte nobody reads) or a warning and None."""
    content = file.read_bytes()
    refused = 0
    for place in range(0, len(content), 3):
        file.write_bytes(flipped(content, place, place % 8))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = cache.read(file, "key")
        if found is None:
            refused += 1
            assert any("made anew" in str(warning.message) for warning in said)
        else:
            assert set(found) == {"numbers", "name"}
            np.testing.assert_array_equal(found["numbers"], np.arange(500.0))
    assert refused > len(content) / 6


def foreign(path, **arrays):
    np.savez(path, **arrays)
    return path.read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda c, p: b"",
        lambda c, p: c[: len(c) // 2],
        lambda c, p: c[:-1],
        lambda c, p: c[:200] + bytes(len(c) // 10) + c[200 + len(c) // 10 :],
        lambda c, p: b"no archive at all",
        lambda c, p: foreign(p, numbers=np.arange(500.0), name=np.array("word")),
        lambda c, p: foreign(p, numbers=np.arange(3.0)),
        lambda c, p: foreign(p, _check=np.array("0" * 32), numbers=np.arange(500.0)),
        lambda c, p: foreign(p, thing=np.array([{"a": 1}], object)),
    ],
    ids=["empty", "half", "short", "zeroed", "text", "unchecked", "missing", "wrong check", "pickled"],
)
def test_damage_and_foreign_files_are_named_and_not_used(file, damage):
    file.write_bytes(damage(file.read_bytes(), file.with_name("other.npz")))
    with pytest.warns(UserWarning, match="kept.npz is damaged or of another origin; it is made anew"):
        assert cache.read(file, "key") is None


def test_a_file_under_another_key_is_not_used(file):
    with pytest.warns(UserWarning, match="another origin"):
        assert cache.read(file, "another key") is None


def test_a_full_disk_leaves_nothing_behind(file, monkeypatch):
    before = file.read_bytes()

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        cache.write(file, "key", numbers=np.zeros(9))
    assert [path.name for path in file.parent.iterdir()] == ["kept.npz"]
    assert file.read_bytes() == before


def test_source_is_what_the_files_say(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\n")
    first = cache.source_key(tmp_path)
    assert cache.source_key(tmp_path) == first
    (tmp_path / "a.py").write_text("x = 2\n")
    assert cache.source_key(tmp_path) != first


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """A teacher's folder with one result in it, and a student's own folder."""
    teacher, student = tmp_path / "teacher", tmp_path / "student"
    monkeypatch.setenv("LECTUREKIT_DATA", str(student))
    cache.write(teacher / "features" / "kept.npz", "key", numbers=np.arange(5.0))
    monkeypatch.setenv(cache.SHARED, str(teacher))
    return teacher / "features" / "kept.npz", student / "features" / "kept.npz"


def test_the_shared_folder_is_looked_at_first(shared):
    theirs, own = shared
    cache.write(own, "key", numbers=np.zeros(2))
    assert cache.read(own, "key")["numbers"].tolist() == [0, 1, 2, 3, 4]
    theirs.unlink()
    assert cache.read(own, "key")["numbers"].tolist() == [0, 0]


def test_damage_in_the_shared_folder_costs_only_time(shared):
    theirs, own = shared
    theirs.write_bytes(theirs.read_bytes()[:-30])
    before = theirs.read_bytes()
    with pytest.warns(UserWarning, match="damaged"):
        assert cache.read(own, "key") is None
    cache.write(own, "key", numbers=np.ones(1))
    with pytest.warns(UserWarning, match="damaged"):
        assert cache.read(own, "key")["numbers"].tolist() == [1]
    assert theirs.read_bytes() == before


def test_no_shared_folder_and_files_elsewhere(shared, monkeypatch, tmp_path):
    _, own = shared
    assert cache.places(tmp_path / "elsewhere.npz") == [tmp_path / "elsewhere.npz"]
    monkeypatch.setenv(cache.SHARED, str(tmp_path / "missing"))
    assert cache.read(own, "key") is None
    monkeypatch.delenv(cache.SHARED)
    assert cache.places(own) == [own]
