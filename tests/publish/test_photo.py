"""Building the page without a browser: what is fetched, and what is said where it cannot be."""

import io
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lecturekit.publish import photo as page


@pytest.fixture
def fake_npm(monkeypatch):
    """``fake_npm(files)``: npm that packs these files."""

    def make(files):
        def run(command, **options):
            place = Path(command[command.index("--pack-destination") + 1])
            with tarfile.open(place / "package.tgz", "w:gz") as archive:
                for name, content in files.items():
                    info = tarfile.TarInfo(f"package/dist/{name}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
            return subprocess.CompletedProcess(command, 0, "", "")

        monkeypatch.setattr(page.shutil, "which", lambda name: name)
        monkeypatch.setattr(page.subprocess, "run", run)

    return make


def test_without_npm_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(page.shutil, "which", lambda name: None)
    with pytest.raises(FileNotFoundError, match="install Node 20"):
        page.runtime_files(tmp_path)


def test_another_runtime_than_the_tested_one_is_refused(fake_npm, tmp_path):
    fake_npm(dict.fromkeys(page.RUNTIME_FILES, b"something else"))
    with pytest.raises(RuntimeError, match="not the file that this page was tested with"):
        page.runtime_files(tmp_path)


def test_npm_that_fails_is_quoted(monkeypatch, tmp_path):
    monkeypatch.setattr(page.shutil, "which", lambda name: name)
    monkeypatch.setattr(
        page.subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 1, "", "no such host"),
    )
    with pytest.raises(RuntimeError, match="no such host"):
        page.runtime_files(tmp_path)


def test_the_runtime_is_fetched_once(monkeypatch, fake_npm, tmp_path):
    contents = {name: name.encode() for name in page.RUNTIME_FILES}
    sums = {name: page.hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    monkeypatch.setattr(page, "RUNTIME_FILES", sums)
    fake_npm(contents)
    assert page.runtime_files(tmp_path) == contents
    monkeypatch.setattr(page.shutil, "which", lambda name: None)
    assert page.runtime_files(tmp_path) == contents


def test_the_sources_are_not_overwritten():
    before = (page.SOURCES / "index.html").read_bytes()
    with pytest.raises(ValueError, match="where the sources lie"):
        page.build(page.SOURCES.parent)
    assert (page.SOURCES / "index.html").read_bytes() == before


def test_an_installed_copy_says_that_it_has_no_sources(monkeypatch, tmp_path):
    monkeypatch.setattr(page, "SOURCES", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="for a clone of the course"):
        page.build(tmp_path)


@given(arrays(np.float32, (3, 2, 4), elements=st.floats(-50, 50, width=32)))
def test_stored_maps_are_right_to_half_a_step(maps):
    packed = page.eight_bit_maps(maps)
    scales = np.frombuffer(packed[:12], "<f4")
    read = np.frombuffer(packed[12:], np.int8).reshape(maps.shape) * scales[:, None, None]
    step = np.abs(maps).max((1, 2), keepdims=True) / 127
    assert (np.abs(read - maps) <= 0.501 * step + 1e-30).all()
