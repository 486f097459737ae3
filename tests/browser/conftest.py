"""Chromium and a real JupyterLab for tests, in two layers.

``esm_page(widget)`` shows one widget's JavaScript alone in Chromium, with a ten-line fake of its model
(seconds). ``open_notebook(name)`` opens a copy of a notebook in a JupyterLab of its own (tens of seconds).

To watch: ``LECTUREKIT_HEADED=1 python -m pytest -n 0 tests/browser`` opens a visible browser and slows every
step down. ``LECTUREKIT_CHROMIUM`` names a browser that is not found by itself. What was on the screen when a
test failed, and the server's log, lie in ``test-artefacts/``.

Where there is no Chromium, these tests are skipped; on a CI machine (the environment variable ``CI`` is set)
they fail instead.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = ROOT / "test-artefacts"
LOCAL = "127.0.0.1"
WIDGET_HOST = "widget.test"  # answered by the test itself; no name server ever hears of it
PATIENCE = 120_000  # ms for one step of the browser, on a machine five times slower than a laptop
RUN_PATIENCE = 1_200_000  # ms for all cells of a notebook
expect.set_options(timeout=PATIENCE)
HEADED = bool(os.environ.get("LECTUREKIT_HEADED"))

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
CHROMIUM_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {LOCAL}",
)


# ------------------------------------------------------------------------------------------- the browser


def find_chromium(playwright) -> str | None:
    """Path of a Chromium: the named one, one on the PATH, or the one Playwright has downloaded."""
    named = os.environ.get("LECTUREKIT_CHROMIUM")
    found = [shutil.which(name) for name in ((named,) if named else CHROMIUM_NAMES)]
    own = playwright.chromium.executable_path
    return next(filter(None, found), own if not named and Path(own).exists() else None)


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    """A browser for the tests of one module.

    Not for the session: Playwright's event loop must have ended before another module (a notebook under
    nbval, say) wants one in the same process.
    """
    with sync_playwright() as playwright:
        path = find_chromium(playwright)
        if path is None:
            missing = (
                f"no Chromium here (looked for {', '.join(CHROMIUM_NAMES)}); LECTUREKIT_CHROMIUM can name one"
            )
            (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
        browser = playwright.chromium.launch(
            executable_path=path, headless=not HEADED, slow_mo=300 if HEADED else 0, args=list(CHROMIUM_ARGS)
        )
        yield browser
        browser.close()


PAGES = pytest.StashKey[list]()


@pytest.fixture
def new_page(chromium, request) -> Iterator[Callable]:
    """``new_page(width, height, scheme, density)``: an empty page that is watched.

    At the end of the test no page may have thrown, nor asked any host but this machine for anything.
    """
    hosts: set[str] = set()
    thrown: list[str] = []
    contexts = []
    pages = request.node.stash.setdefault(PAGES, [])

    def watch(address: str) -> None:
        host = urlsplit(address).hostname  # None for data: and blob:
        if host:
            hosts.add(host)

    def make(width: int = 1280, height: int = 900, scheme: str = "light", density: float = 1, touch=False):
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            device_scale_factor=density,
            has_touch=touch,
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        context.on("request", lambda asked: watch(asked.url))
        page = context.new_page()
        page.on("websocket", lambda socket: watch(socket.url))
        page.on("pageerror", lambda error: thrown.append(str(error)))
        pages.append(page)
        return page

    yield make
    for context in contexts:
        context.close()
    assert hosts <= {LOCAL, WIDGET_HOST}, "a page asked the network for something"
    assert not thrown, "a page threw an error"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Keep a picture of every page of a test that has failed."""
    report = yield
    if report.when == "call" and report.failed:
        ARTEFACTS.mkdir(exist_ok=True)
        for n, page in enumerate(item.stash.get(PAGES, [])):
            name = re.sub(r"[^\w.-]+", "_", item.name)
            try:
                page.screenshot(path=ARTEFACTS / f"{name}-{n}.png", timeout=10_000)
            except Exception as error:  # the browser may be what broke; the test's own failure is what counts
                report.sections.append(("screenshot", f"none: {error}"))
    return report


# ----------------------------------------------------------------------------- layer 2: a widget's JavaScript

FAKE_MODEL = """
<!doctype html><html lang="en"><head><meta charset="utf-8"><title>widget</title>
<style>body { margin: 0; } STYLE</style></head>
<body><main><h1 hidden>widget</h1><div id="root"></div></main><script type="module">
const bytes = (text) => { // as a front end does: a view into a larger buffer, at an odd place
  const raw = atob(text), view = new DataView(new ArrayBuffer(raw.length + 1), 1);
  for (let i = 0; i < raw.length; i++) view.setUint8(i, raw.charCodeAt(i));
  return view;
};
const state = JSON.parse(STATE, (key, value) => value?.bytes === undefined ? value : bytes(value.bytes));
const listeners = {}, waiting = {};
globalThis.saved = [];
globalThis.model = {
  get: (name) => state[name],
  set: (name, value) => {
    state[name] = value; waiting[name] = value;
    for (const listener of [...listeners[`change:${name}`] ?? []]) listener();
  },
  save_changes: () => { saved.push({ ...waiting }); for (const name in waiting) delete waiting[name]; },
  on: (event, listener) => (listeners[event] ??= []).push(listener),
  off: (event, listener) => { listeners[event] = (listeners[event] ?? []).filter((l) => l !== listener); },
  listening: () => Object.values(listeners).flat().length,
};
globalThis.esm = await import("/widget.js");
globalThis.unmount = await esm.default.render({ model, el: document.querySelector("#root") });
globalThis.mounted = true;
</script></body></html>
"""


@pytest.fixture
def esm_page(new_page) -> Callable:
    """``esm_page(widget, **page)``: the page on which the widget's JavaScript has drawn itself.

    In the page, ``model`` is the fake model (``set`` on it is what Python does), ``saved`` lists what
    ``save_changes`` sent, ``esm`` is the module, and ``unmount()`` takes the widget down.
    """

    def show(widget, **options):
        page = new_page(**{"width": 900} | options)
        page.route(f"http://{WIDGET_HOST}/**", lambda route: _serve(route, widget))
        page.goto(f"http://{WIDGET_HOST}/")
        page.wait_for_function("globalThis.mounted")
        return page

    return show


def _serve(route, widget) -> None:
    if urlsplit(route.request.url).path == "/widget.js":
        route.fulfill(body=str(widget._esm), content_type="text/javascript")
    elif urlsplit(route.request.url).path == "/":
        state = {name: value for name, value in widget.get_state().items() if name not in ("_esm", "_css")}
        text = json.dumps(json.dumps(state, default=_jsonable)).replace("<", "\\u003c")
        page = FAKE_MODEL.replace("STATE", text, 1).replace("STYLE", str(getattr(widget, "_css", "")), 1)
        route.fulfill(body=page, content_type="text/html")
    else:
        route.fulfill(status=404)


def _jsonable(value) -> dict | None:
    return {"bytes": base64.b64encode(value).decode()} if isinstance(value, bytes | memoryview) else None


@pytest.fixture
def axe() -> Callable:
    """``axe(page, selector)``: what axe-core objects to in that part of the page, a line each."""

    def violations(page, selector: str = "#root") -> list[str]:
        found = Axe().run(page, context=selector).response["violations"]
        return [f"{v['id']}: {node['html']}" for v in found for node in v["nodes"]]

    return violations


# --------------------------------------------------------------------------------- layer 3: a real JupyterLab


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address, its token, and the folder it shows."""

    address: str
    token: str
    folder: Path


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Iterator[Lab]:
    """JupyterLab on a free port, with folders of its own, showing copies of the course's notebooks."""
    home = tmp_path_factory.mktemp("lab")
    folder = home / "root"
    shutil.copytree(ROOT / "notebooks", folder, ignore=shutil.ignore_patterns(".*"))
    with open(home / "lab.log", "w") as log:
        for _ in range(5):  # somebody else may take the port before the server does
            port = _free_port()
            lab = Lab(f"http://{LOCAL}:{port}", secrets.token_hex(16), folder)
            server = _start(home, folder, port, lab.token, log)
            if (answers := _answers(server, lab)) or server.poll() is None:
                break
        try:
            assert answers, f"JupyterLab did not start; its log is {ARTEFACTS / 'lab.log'}"
            yield lab
        finally:
            _end(server, lab)
            ARTEFACTS.mkdir(exist_ok=True)
            shutil.copy(home / "lab.log", ARTEFACTS / "lab.log")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        return probe.getsockname()[1]


def _start(home: Path, folder: Path, port: int, token: str, log) -> subprocess.Popen:
    places = {
        name: home / name.lower()
        for name in (
            "HOME",
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_DATA_DIR",
            "JUPYTER_RUNTIME_DIR",
            "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
            "MPLCONFIGDIR",
            "LECTUREKIT_DATA",
        )
    }
    for place in places.values():
        place.mkdir(exist_ok=True)
    news = (
        places["JUPYTERLAB_SETTINGS_DIR"] / "@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    )
    news.parent.mkdir(parents=True, exist_ok=True)
    news.write_text('{"fetchNews": "false"}')
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--allow-root",
        f"--ip={LOCAL}",
        f"--port={port}",
    ]
    command += [
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
        f"--IdentityProvider.token={token}",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.news_url=None",
    ]
    environment = os.environ | {name: str(place) for name, place in places.items()}
    group = (
        {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        if os.name == "nt"
        else {"start_new_session": True}
    )
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, **group
    )


def _answers(server: subprocess.Popen, lab: Lab) -> bool:
    """Wait for its first answer; False where it ended instead, or never came."""
    deadline = time.monotonic() + PATIENCE / 1000
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{lab.address}/api/status?token={lab.token}", timeout=5):
                return True
        except OSError:
            time.sleep(0.1)
    return False


def _end(server: subprocess.Popen, lab: Lab) -> None:
    """Ask the server to end, which ends its kernels on every system, then end its process group by force."""
    asked = urllib.request.Request(f"{lab.address}/api/shutdown?token={lab.token}", method="POST")
    try:
        urllib.request.urlopen(asked, timeout=30).close()
    except OSError:
        _signal(server, signal.SIGTERM)
    try:
        server.wait(30)
    except subprocess.TimeoutExpired:
        _signal(server, getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has one way to end a process
        server.wait()


def _signal(server: subprocess.Popen, number: int) -> None:
    if server.poll() is None:
        server.send_signal(number) if os.name == "nt" else os.killpg(server.pid, number)


class LabNotebook:
    """A notebook that is open in JupyterLab; `page` is the browser's page."""

    def __init__(self, page, lab: Lab, name: str):
        self.page, self.name = page, name
        page.goto(f"{lab.address}/lab/workspaces/auto-t/tree/{quote(name)}?token={lab.token}&reset")
        page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.sessionContext")
        page.evaluate("""async () => {
            const app = window.jupyterapp;
            await app.restored;
            const panel = app.shell.currentWidget;
            await panel.context.ready;
            await panel.sessionContext.ready;
            window.notebook = panel.content;
        }""")

    def run_all(self) -> None:
        """Run every cell and wait for the last one."""
        self._run("notebook:run-all-cells")

    def run_cell(self, n: int) -> None:
        """Run one cell and wait for it."""
        self.page.evaluate("n => { window.notebook.activeCellIndex = n; }", n)
        self._run("notebook:run-cell")

    def run_until_printed(self, n: int, text: str) -> None:
        """Run one cell until it prints `text`.

        A widget's front end holds a change back while the kernel still works on the one before, so the change
        can reach the kernel after a cell that was run later.
        """
        deadline = time.monotonic() + PATIENCE / 1000
        self.run_cell(n)
        while text not in self.printed(n):
            assert time.monotonic() < deadline, f"not printed: {text}\nbut: {self.printed(n)}"
            self.run_cell(n)

    def _run(self, command: str) -> None:
        start = """command => {
            window.ran = false;
            window.jupyterapp.commands.execute(command).then(() => { window.ran = true; });
        }"""
        self.page.evaluate(start, command)
        self.page.wait_for_function("window.ran", timeout=RUN_PATIENCE)

    def cells(self) -> list[dict]:
        """The cells as they are now: cell_type, source, and for code also outputs and execution_count."""
        return self.page.evaluate("window.notebook.model.sharedModel.toJSON().cells")

    def sources(self) -> list[tuple[str, str]]:
        """Type and text of every cell: what a stray keyboard shortcut would change."""
        return [(cell["cell_type"], "".join(cell["source"])) for cell in self.cells()]

    def printed(self, n: int) -> str:
        """What cell `n` has written to standard output."""
        outputs = self.cells()[n]["outputs"]
        return "".join("".join(o["text"]) for o in outputs if o["output_type"] == "stream")

    def errors(self) -> list[str]:
        """Every error in the outputs, with the number of its cell."""
        return [
            f"cell {n}: {output['ename']}: {output['evalue']}"
            for n, cell in enumerate(self.cells())
            for output in cell.get("outputs", [])
            if output["output_type"] == "error"
        ]

    def show(self, selector: str):
        """Scroll through the notebook until an element is drawn (cells out of sight are not); its locator."""
        found = self.page.locator(selector).first
        deadline = time.monotonic() + PATIENCE / 1000
        frames = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
        while not found.count() and time.monotonic() < deadline:  # a widget takes its time to be drawn
            for n in range(len(self.cells())):
                self.page.evaluate("n => window.notebook.scrollToItem(n, 'center')", n)
                self.page.evaluate(frames)
                if found.count():
                    break
        found.scroll_into_view_if_needed()
        return found

    def theme(self, name: str) -> None:
        """Change JupyterLab's theme, for example to 'JupyterLab Dark'."""
        self.page.evaluate(
            "name => window.jupyterapp.commands.execute('apputils:change-theme', { theme: name })", name
        )
        light = str("Dark" not in name).lower()
        self.page.wait_for_selector(f"body[data-jp-theme-light='{light}']", state="attached")


@pytest.fixture
def open_notebook(lab: Lab, new_page) -> Callable[..., LabNotebook]:
    """``open_notebook("05_….ipynb")``: that notebook, open in JupyterLab; a `Path` is copied there first."""

    def show(notebook: str | Path, **page) -> LabNotebook:
        if isinstance(notebook, Path):
            shutil.copy(notebook, lab.folder)
        return LabNotebook(new_page(**page), lab, Path(notebook).name)

    return show


@pytest.fixture
def open_cells(open_notebook, tmp_path) -> Callable[..., LabNotebook]:
    """``open_cells("name", "import this", "print(1)")``: a new notebook of these cells, open in JupyterLab.

    A cell may also be one of nbformat's, with outputs for example.
    """

    def show(name: str, *cells: str | nbformat.NotebookNode) -> LabNotebook:
        made = [nbformat.v4.new_code_cell(c.strip()) if isinstance(c, str) else c for c in cells]
        kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        book = nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernel})
        nbformat.write(book, tmp_path / f"{name}.ipynb")
        return open_notebook(tmp_path / f"{name}.ipynb")

    return show


@pytest.fixture
def pixels() -> Callable:
    """``pixels(canvas)``: what is painted on a canvas, as one string that changes with it."""
    return lambda canvas: canvas.evaluate("canvas => canvas.toDataURL()")


@pytest.fixture
def repainted(pixels) -> Callable:
    """``with repainted(canvas): …``: what happens inside must change the picture."""

    @contextmanager
    def watch(canvas):
        before = pixels(canvas)
        yield
        canvas.page.wait_for_function(
            "([canvas, before]) => canvas.toDataURL() !== before", arg=[canvas.element_handle(), before]
        )

    return watch
