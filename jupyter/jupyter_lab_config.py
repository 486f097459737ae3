"""JupyterLab's settings in an environment that holds the course.

They apply only where the course's notebooks lie in the folder that JupyterLab shows; anywhere else JupyterLab
is as it was. The token and the address (localhost) stay JupyterLab's own.
"""

import sys
from pathlib import Path

START = "00_start_here.ipynb"


def shown_folder(arguments: list[str]) -> Path:
    """The folder JupyterLab will show: named on the command line, or the one it is started in."""
    for argument in arguments:
        option, _, value = argument.partition("=")
        if option in ("--ServerApp.root_dir", "--notebook-dir"):
            return Path(value).expanduser()
        if not argument.startswith("-") and Path(argument).exists():
            return Path(argument) if Path(argument).is_dir() else Path(argument).parent
    return Path.cwd()


folder = shown_folder(sys.argv[1:])
for start in (f"notebooks/{START}", START):
    if (folder / start).is_file():
        c = get_config()  # noqa: F821 -- jupyter puts this function here
        c.LabApp.default_url = f"/lab/tree/{start}"
        # Nothing is fetched and nobody is told: no news, no look for updates, no catalogue of extensions.
        c.LabApp.news_url = None
        c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"
        c.LabApp.extension_manager = "readonly"
        break
