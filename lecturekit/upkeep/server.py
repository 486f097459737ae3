"""What JupyterLab does in a folder that holds the course: copies to work in, the first of them in front.

A server extension, switched on by a file of its own (``jupyter_server_config.d/lecturekit.json``). In any
other folder JupyterLab is as it was, and nothing of an administrator's settings is replaced.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .copies import START, bring

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "lecturekit.upkeep.server"}]


def _link_jupyter_server_extension(server: ServerApp) -> None:
    """Before the applications load: what they open, and that they fetch nothing."""
    opened = opens(Path(server.root_dir))
    lab = server.extension_manager.extension_apps.get("jupyterlab", set())
    if opened is None:
        return
    for app in lab:
        # Nothing is fetched and nobody is told: no news, no look for updates, no catalogue of extensions.
        app.news_url = None
        app.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
        app.extension_manager = "readonly"
        if "default_url" not in server.config.LabApp:
            app.default_url = f"/lab/tree/{opened}"
            server.default_url = app.default_url


def _load_jupyter_server_extension(server: ServerApp) -> None:
    """Nothing is left to do once the applications are loaded."""


def opens(root: Path) -> str | None:
    """The notebook to open in a folder, as a path below it; None where the folder is not of the course.

    Args:
        root: the folder that JupyterLab shows. In a checkout ``work/`` is filled with fresh copies of the
            notebooks that are not there yet; where it cannot be written, the originals are opened.
    """
    if (root / "notebooks" / START).is_file() and (root / "lecturekit").is_dir():
        try:
            bring(root / "work")
        except OSError:
            return f"notebooks/{START}"
    for place in ("work/", "notebooks/", ""):
        if (root / place / START).is_file():
            return f"{place}{START}"
    return None
