"""For unit tests and notebooks alike: a reader's own files stay untouched and nothing is fetched."""

import os
import shutil
import tempfile

import pytest

_DATA = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Give each test process, and the kernels it starts, an empty data folder and its share of the cores."""
    config.stash[_DATA] = os.environ["LECTUREKIT_DATA"] = tempfile.mkdtemp(prefix="lecturekit-test-")
    os.environ["HF_HUB_OFFLINE"] = "1"
    if getattr(config.option, "numprocesses", None):
        return  # this process only hands out the tests; its workers inherit what is set here
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the data folder away again."""
    shutil.rmtree(config.stash[_DATA], ignore_errors=True)
