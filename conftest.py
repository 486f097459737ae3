"""For unit tests and notebooks alike: a reader's own files stay untouched and nothing is fetched."""

import importlib.util
import math
import os
import shutil
import tempfile

import pytest

from lecturekit.kit.usage import MAX_KEPT_MB, MAX_MB, MEASURE

if "PYTEST_XDIST_WORKER" in os.environ:
    # Each test process, and the kernels it starts, has its share of the cores; with all cores in each,
    # threads mostly wait for one another. The libraries read this when they are loaded, so it stands first.
    _SHARE = str(max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])))
    os.environ.setdefault("OMP_NUM_THREADS", _SHARE)
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", _SHARE)

# Its examples need what Linux on ARM does not have.
collect_ignore = [] if importlib.util.find_spec("higra") else ["lecturekit/pixels/proposals.py"]
_DATA = pytest.StashKey[str]()
#: Files of many seconds, the longest first. Begun first, so that at the end no process sits alone over one.
LONGEST = (
    "08_bootstrapping_with_tricks",
    "test_site",
    "09_clicks_scribbles_time",
    "10_your_own_project",
    "04_saliency",
    "test_lab",
    "02_weak_supervision",
    "test_download",
    "07_boxes_to_pixels",
    "test_esm_annotator",
    "05b_solar_cells",
    "test_bootstrap",
    "test_notebooks_photographs",
    "test_offline",
    "test_esm_cam_explorer",
    "test_annotator_lab",
    "03_gap_reordering",
    "test_project_lab",
    "test_label_files",
    "test_train",
    "test_exercises",
    "test_scenes",
    "test_outcome",
    "test_open_tasks",
    "06_grad_cam",
    "test_scale",
    "01_annotation_cost",
    "test_figures",
    "05_class_activation_maps",
    "00_start_here",
)


def pytest_configure(config: pytest.Config) -> None:
    """Give each test process, and the kernels it starts, an empty data folder."""
    config.stash[_DATA] = os.environ["LECTUREKIT_DATA"] = tempfile.mkdtemp(prefix="lecturekit-test-")
    os.environ["HF_HUB_OFFLINE"] = "1"


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: some always wait, for a page, a server or a kernel to start."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first; the others stay in their order (xdist would begin with the most tests)."""
    rank = {name: n for n, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None):
    """After a notebook's last cell: its kernel must not have taken or kept more memory than it may."""
    last = type(item).__name__ == "IPyNbCell" and (nextitem is None or nextitem.parent is not item.parent)
    measure = last and item.parent.kernel.is_alive()
    used, kept = _memory(item.parent.kernel) if measure else (0, 0)
    result = yield  # the kernel ends here, whatever it took
    assert used <= MAX_MB, f"{item.parent.name} took {used:.0f} MB at its largest, more than {MAX_MB} MB"
    limit = MAX_KEPT_MB.get(item.path.stem, math.inf)
    assert not kept > limit, f"{item.parent.name} keeps {kept:.0f} MB, more than {limit} MB"
    return result


def _memory(kernel) -> tuple[float, float]:
    """The largest memory of a notebook's kernel so far, and what it keeps (nan if that is unknown), MB."""
    message = kernel.execute_cell_input(MEASURE, allow_stdin=False)
    kernel.await_reply(message, timeout=600)
    while True:
        content = kernel.get_message("iopub", timeout=600)["content"]
        if "measured" in content.get("text", ""):
            used, kept = map(float, content["text"].split()[-2:])
            return used, kept


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the data folder away again."""
    shutil.rmtree(config.stash[_DATA], ignore_errors=True)
