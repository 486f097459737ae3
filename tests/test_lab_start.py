"""`jupyter lab` as a reader starts it: the first notebook in front, token on, nothing but this machine."""

import importlib.metadata
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from lecturekit.kit.storage import ROOT

pytestmark = pytest.mark.skipif(
    not (ROOT / "notebooks").is_dir(), reason="an installed copy has no notebooks"
)

START = "/lab/tree/work/00_start_here.ipynb"


@contextmanager
def lab(folder: Path, home: Path, *arguments: str):
    """JupyterLab started in `folder` by a user with an empty home; gives the address that it prints."""
    private = {"HOME": home, "JUPYTER_CONFIG_DIR": home / "c", "JUPYTER_DATA_DIR": home / "d"}
    private |= {"JUPYTER_RUNTIME_DIR": home / "r", "JUPYTERLAB_WORKSPACES_DIR": home / "w"}
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={free_port()}", *root, *arguments],
        cwd=folder,
        env=os.environ | {name: str(value) for name, value in private.items()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    watchdog = threading.Timer(600, server.kill)  # a limit for all of it, also for its end
    watchdog.start()
    try:
        address = printed_address(server.stdout)
        wait_for(urlsplit(address).port)
        yield address
    finally:
        server.terminate()
        server.communicate()
        watchdog.cancel()


def printed_address(lines) -> str:
    log = []
    for line in lines:
        log.append(line)
        if found := re.search(r"http://(?:localhost|127\.0\.0\.1):\S+", line):
            return found[0]
    raise AssertionError(f"JupyterLab ended without an address:\n{''.join(log)}")


def wait_for(port: int) -> None:
    """Until the server listens: it prints its address shortly before."""
    for _ in range(3000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nobody listens on port {port}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=300) as answer:
        return answer.read().decode()


def test_in_the_course_the_first_notebook_is_in_front(tmp_path):
    with lab(ROOT, tmp_path) as address:
        parts = urlsplit(address)
        token = parse_qs(parts.query)["token"][0]
        assert parts.path == START
        assert len(token) >= 32

        base = f"http://127.0.0.1:{parts.port}"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            get(f"{base}/api/contents")
        found = json.loads(get(f"{base}/api/contents/work/00_start_here.ipynb?content=0&token={token}"))
        assert found["type"] == "notebook"

        page = get(f"{base}/lab?token={token}")
        settings = json.loads(re.search(r'id="jupyter-config-data"[^>]*>(.*?)</script>', page, re.DOTALL)[1])
        assert settings["news"] == {"disabled": True}
        assert settings["extensionManager"]["can_install"] is False

        if sys.platform == "linux":  # elsewhere the machine has no second address to itself
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(("127.0.0.2", parts.port), timeout=5).close()


def test_elsewhere_jupyterlab_is_as_it_was(tmp_path):
    elsewhere = tmp_path / "own work"
    elsewhere.mkdir()
    with lab(elsewhere, tmp_path) as address:
        assert urlsplit(address).path == "/lab"


@pytest.mark.parametrize("arguments", [["--notebook-dir", "{course}"], ["--ServerApp.root_dir={course}"]])
def test_the_course_named_from_elsewhere(tmp_path, arguments):
    course = tmp_path / "my course"
    (course / "work").mkdir(parents=True)
    shutil.copy(ROOT / "notebooks" / "00_start_here.ipynb", course / "work")
    with lab(tmp_path, tmp_path, *(part.format(course=course) for part in arguments)) as address:
        assert urlsplit(address).path == START


def test_nothing_of_an_administrator_is_replaced():
    files = importlib.metadata.files("lecturekit") or []
    settings = [f for f in files if "etc/jupyter" in f.as_posix() or "share/jupyter" in f.as_posix()]
    assert [f.name for f in settings] == ["lecturekit.json"]
