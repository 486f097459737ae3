"""Packages of JavaScript that pages are built with: fetched by npm at build time, kept in the user's cache.

npm checks what it fetches against the registry's digest. Nothing of it is part of this repository.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import platformdirs

from ..kit.checks import choice

#: What pages are built with.
VERSIONS = {"reveal.js": "5.2.1", "mathjax": "3.2.2", "onnxruntime-web": "1.30.0"}
#: Of a package that is many times larger than what is used of it, the files that are kept.
_KEPT = {
    "onnxruntime-web": ("dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm", "package.json")
}


def package(name: str) -> Path:
    """The folder of a package, fetched where it is not there yet.

    Args:
        name: one of `VERSIONS`.

    Raises:
        ValueError: another name.
        RuntimeError: npm is missing or could not fetch it, in npm's words.
    """
    choice("name", name, list(VERSIONS))
    kept = Path(platformdirs.user_cache_dir("lecturekit", appauthor=False)) / "npm"
    folder = kept / f"{name}-{VERSIONS[name]}"
    if not folder.is_dir():
        _fetch(name, folder)
    return folder


def _fetch(name: str, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError(f"npm is missing, which fetches {name}: install Node.js")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
        command = [npm, "pack", "--silent", f"{name}@{VERSIONS[name]}"]
        done = subprocess.run(command, cwd=beside, capture_output=True, text=True, encoding="utf-8")
        if done.returncode:
            raise RuntimeError(f"npm could not fetch {name}:\n{done.stderr.strip()}")
        with tarfile.open(Path(beside, done.stdout.split()[-1])) as archive:
            members = [archive.getmember(f"package/{path}") for path in _KEPT.get(name, ())]
            archive.extractall(beside, members or None, filter="data")
        Path(beside, "package").rename(folder)
