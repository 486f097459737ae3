"""The notebooks without a network, outside the repository's folder, where nothing beside them can be written.

Linux gives a process a world of its own for that (``unshare``): no network card but the loopback, and a
checkout and a working folder that are mounted read-only, so that even root cannot write there.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lecturekit.kit.storage import ROOT

NOTEBOOKS = ("00_start_here", "05_class_activation_maps")

WORLD = ("unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-euc")
READ_ONLY = """
for folder in "$CHECKOUT" "$ELSEWHERE"; do
    mount --bind "$folder" "$folder"
    mount -o remount,bind,ro "$folder"
done
"""
RUN = """
import fcntl, os, socket, struct, sys
from pathlib import Path

card = socket.socket()  # kernel and client talk over the loopback, which starts switched off
fcntl.ioctl(card, 0x8914, struct.pack("16sH", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
assert [name for _, name in socket.if_nameindex()] == ["lo"]

import nbformat
from nbclient import NotebookClient  # not by `refresh`, which loads all of the course into this process, too
from lecturekit.kit import storage

checkout, elsewhere = Path(os.environ["CHECKOUT"]), Path(os.environ["ELSEWHERE"])
assert storage.ROOT == checkout
assert not os.access(checkout, os.W_OK) and not os.access(elsewhere, os.W_OK)
assert not storage.is_temporary(storage.data_dir())

notebook = nbformat.read(elsewhere / sys.argv[1], as_version=4)
where = {"metadata": {"path": str(elsewhere)}}
NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where).execute()
print("kept in", storage.data_dir())
"""


def enter(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess:
    """Run `command`, a shell's, in a world without network and with the read-only folders."""
    return subprocess.run(
        [*WORLD, READ_ONLY + command, "sh", sys.executable],
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=1200,
    )


@pytest.fixture
def apart(tmp_path) -> dict[str, str]:
    """Environment of a reader whose checkout and working folder are read-only, and whose home is empty."""
    checkout, elsewhere, home = (tmp_path / name for name in ("checkout", "elsewhere", "home"))
    for folder in ("lecturekit", "notebooks"):
        shutil.copytree(ROOT / folder, checkout / folder, ignore=shutil.ignore_patterns(".*"))
    elsewhere.mkdir()
    home.mkdir()
    dropped = ("LECTUREKIT_DATA", "XDG_", "JUPYTER_", "IPYTHONDIR", "MPLCONFIGDIR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    environment = kept | {
        "HOME": str(home),
        "PYTHONPATH": str(checkout),
        "CHECKOUT": str(checkout),
        "ELSEWHERE": str(elsewhere),
    }
    if shutil.which("unshare") is None:
        pytest.skip("needs Linux's unshare to take the network away")
    possible = enter("true", environment)
    if possible.returncode:  # in CI a test that never runs would be no test
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse(f"this machine does not allow a world of its own: {possible.stderr.strip()}")
    return environment


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_runs_offline_outside_the_repository_on_a_read_only_checkout(name, apart):
    elsewhere = Path(apart["ELSEWHERE"])
    shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", elsewhere / "mine.ipynb")
    (elsewhere / "run.py").write_text(RUN, encoding="utf-8")
    result = enter('exec "$1" "$ELSEWHERE/run.py" mine.ipynb', apart)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert apart["HOME"] in result.stdout.splitlines()[-1]


def test_the_world_has_no_network(apart):
    """So that the test above means something: an address cannot be reached and a file not be made."""
    connect = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    assert "Network is unreachable" in enter(f'exec "$1" -c "{connect}"', apart).stderr
    assert "Read-only file system" in enter('touch "$CHECKOUT/x"', apart).stderr
    assert "Read-only file system" in enter('touch "$ELSEWHERE/x"', apart).stderr
