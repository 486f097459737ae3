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

from lecturekit.publish import npm
from lecturekit.publish import photo as page

FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")


def test_without_npm_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(npm.platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path))
    monkeypatch.setattr(npm.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="npm is missing, which fetches onnxruntime-web"):
        page.build(tmp_path)
    assert not (tmp_path / "photo").exists()


def test_of_the_runtime_only_what_is_used_is_kept(monkeypatch, tmp_path):
    def run(command, cwd, **options):
        with tarfile.open(Path(cwd) / "package.tgz", "w:gz") as archive:
            for name in ("package.json", *(f"dist/{file}" for file in (*FILES, "ort.all.js"))):
                info = tarfile.TarInfo(f"package/{name}")
                info.size = len(name)
                archive.addfile(info, io.BytesIO(name.encode()))
        return subprocess.CompletedProcess(command, 0, "package.tgz\n", "")

    monkeypatch.setattr(npm.platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path))
    monkeypatch.setattr(npm.shutil, "which", lambda name: name)
    monkeypatch.setattr(npm.subprocess, "run", run)
    folder = npm.package(page.RUNTIME)
    assert sorted(path.name for path in (folder / "dist").iterdir()) == sorted(FILES)


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
