"""A class on a hub, tried: real single-user servers, each running notebooks and keeping its own labels.

As root, with the Python of an environment that has JupyterHub:

    python deploy/hub/load_test.py --students 8 --environment /opt/lecturekit/env \
        --proxy node_modules/.bin/configurable-http-proxy --notebooks 00 01 05 --out result.json

It makes accounts ``loadtest-01`` and so on, and removes them and their folders at the end. It measures how
long a server takes to start, the memory of each student (proportional share of shared pages), and that no
label is lost and nobody can touch what is not theirs. The figures for larger classes are a calculation.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

HERE = Path(__file__).resolve().parent
PREFIX = "loadtest-"
LABELS = 12  # that a student draws after each notebook

#: As the student: labels in a widget, as drawn by hand; they are saved at once.
DRAW = """
import numpy as np
from lecturekit.widgets.annotator import Annotator
_canvas = Annotator(np.zeros((100, 200, 3), np.uint8), ["thing"], key="load-test", kinds=["point"])
for _k in range({first}, {first} + {count}):
    _point = {{"id": f"p{{_k}}", "kind": "point", "class_index": 1, "points": [[float(_k), {row}.25]]}}
    _canvas.labels = [*_canvas.labels, _point | {{"milliseconds": 400}}]
print("labels:", len(_canvas.labels))
"""
#: As the student: what must be refused.
TRESPASS = """
import json, os
import lecturekit
from lecturekit.upkeep.copies import originals
def _tried(action):
    try:
        action()
    except PermissionError:
        return "refused"
    except OSError as error:
        return f"refused ({{type(error).__name__}})" if error.errno in (1, 13, 30) else repr(error)
    return "ALLOWED"
_other = {other!r}
_data = _other + "/from-class-to-pixels/data"
print(json.dumps({{
    "list another's home": _tried(lambda: os.listdir(_other)),
    "read another's labels": _tried(lambda: open(_data + "/annotations/load-test.json")),
    "write into another's folder": _tried(lambda: open(_data + "/x", "w")),
    "change the package": _tried(lambda: open(lecturekit.__file__, "a")),
    "add to the environment": _tried(lambda: open(os.path.dirname(lecturekit.__file__) + "/x.py", "w")),
    "change the original notebooks": _tried(lambda: open(originals() / "00_start_here.ipynb", "a")),
    "write into the shared cache": _tried(lambda: open(os.environ["LECTUREKIT_SHARED_CACHE"] + "/x", "w")),
    "end another's server": _tried(lambda: os.kill({pid}, 15)),
}}))
"""


@dataclass
class Student:
    """One of the class, and what was seen of it."""

    name: str
    home: Path
    row: int
    starts: list[float] = field(default_factory=list)
    start_cpu: list[float] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    drawn: int = 0
    trespass: dict[str, str] = field(default_factory=dict)
    other_server: int = 0  # what the hub answers when another's server is asked with this student's token


class Meter(threading.Thread):
    """Watches the memory and the processor time of each account until it is told to stop."""

    def __init__(self, accounts: dict[int, str]) -> None:
        super().__init__(daemon=True)
        self.accounts, self.done = accounts, threading.Event()
        self.peak: dict[str, dict[str, float]] = {}
        self.all_pss = 0.0
        self.at_peak: dict[str, dict[str, float]] = {}  # everyone's, when the sum was largest
        self.cpu: dict[int, tuple[str, float]] = {}

    def run(self) -> None:
        """Look every second or so."""
        while not self.done.wait(1.5):
            now: dict[str, dict[str, float]] = {}
            for entry in os.scandir("/proc"):
                if entry.name.isdigit():
                    self._add(Path(entry.path), now)
            for name, one in now.items():
                if one["pss"] > self.peak.get(name, {"pss": 0})["pss"]:
                    self.peak[name] = one
            total = sum(one["pss"] for one in now.values())
            if total > self.all_pss:
                self.all_pss, self.at_peak = total, now

    def _add(self, process: Path, now: dict[str, dict[str, float]]) -> None:
        try:
            name = self.accounts.get(process.stat().st_uid)
            if name is None:
                return
            rollup = (process / "smaps_rollup").read_text().splitlines()[1:]
            times = (process / "stat").read_text().rpartition(")")[2].split()
        except (OSError, IndexError):
            return  # it has ended
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in rollup}
        one = now.setdefault(name, {"pss": 0.0, "private": 0.0})
        one["pss"] += kilobytes["Pss"] / 1e6 * 1.024
        one["private"] += (kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]) / 1e6 * 1.024
        self.cpu[int(process.name)] = (name, (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK"))


class Hub:
    """What is asked of the hub over HTTP, with the token of a service that may do everything."""

    def __init__(self, base: str, token: str) -> None:
        self.base, self.token = base, token
        self.client = AsyncHTTPClient(max_clients=200)

    async def ask(self, path: str, method: str = "GET", body: Any = None, token: str = "", fine=()) -> Any:
        """The answer, or its status where that is not one of success; other statuses raise."""
        request = HTTPRequest(
            self.base + path,
            method,
            {"Authorization": f"token {token or self.token}"},
            None if body is None and method in ("GET", "DELETE") else json.dumps(body),
            request_timeout=600,
            connect_timeout=120,
        )
        answer = await self.client.fetch(request, raise_error=False)
        if answer.code >= 400 and answer.code not in fine:
            raise RuntimeError(f"{method} {path}: {answer.code} {(answer.body or b'')[:300]!r}")
        if answer.code >= 400:
            return answer.code
        return json.loads(answer.body) if answer.body else None

    async def start(self, student: Student) -> None:
        """Start the student's server and wait until it can be used."""
        began = time.monotonic()
        await self.ask(f"/hub/api/users/{student.name}/server", "POST", {})
        while True:
            servers = (await self.ask(f"/hub/api/users/{student.name}"))["servers"]
            if servers.get("", {}).get("ready"):
                break
            if time.monotonic() - began > 600:
                raise RuntimeError(f"the server of {student.name} did not start")
            await asyncio.sleep(0.25)
        student.starts.append(time.monotonic() - began)
        student.start_cpu.append(sum(map(_cpu_seconds, _processes(student))))

    async def stop(self, student: Student) -> None:
        """End the student's server and wait until it is gone."""
        await self.ask(f"/hub/api/users/{student.name}/server", "DELETE")
        while (await self.ask(f"/hub/api/users/{student.name}"))["servers"]:
            await asyncio.sleep(0.25)


class Kernel:
    """A kernel of a student's server, worked over its websocket as a browser does."""

    def __init__(self, hub: Hub, student: Student) -> None:
        self.hub, self.student = hub, student
        self.root = f"/user/{student.name}/api"

    async def open(self, path: str) -> None:
        """Start a kernel for a notebook, and a channel to it."""
        body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        self.session = await self.hub.ask(f"{self.root}/sessions", "POST", body)
        url = f"{self.hub.base}{self.root}/kernels/{self.session['kernel']['id']}/channels"
        headers = {"Authorization": f"token {self.hub.token}"}
        request = HTTPRequest(url.replace("http", "ws", 1), headers=headers, connect_timeout=120)
        self.socket = await websocket_connect(request, max_message_size=2**30)

    async def run(self, code: str) -> tuple[str, str]:
        """What a cell prints, and its error or ""."""
        key = secrets.token_hex(8)
        header = {
            "msg_id": key,
            "msg_type": "execute_request",
            "username": "",
            "session": "s",
            "version": "5.3",
        }
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        content |= {"allow_stdin": False, "stop_on_error": True}
        message = {"header": header, "parent_header": {}, "metadata": {}, "channel": "shell"}
        await self.socket.write_message(json.dumps(message | {"content": content}))
        printed, error = [], ""
        while True:
            raw = await asyncio.wait_for(self.socket.read_message(), 900)
            if raw is None:
                return "".join(printed), error or "the kernel is gone"
            if isinstance(raw, bytes):
                continue  # a widget's buffers
            answer = json.loads(raw)
            if answer["parent_header"].get("msg_id") != key:
                continue
            if answer["msg_type"] == "stream":
                printed.append(answer["content"]["text"])
            if answer["msg_type"] == "error":
                error = f"{answer['content']['ename']}: {answer['content']['evalue'][:200]}"
            if answer["msg_type"] == "status" and answer["content"]["execution_state"] == "idle":
                return "".join(printed), error

    async def close(self) -> None:
        """End the kernel."""
        self.socket.close()
        await self.hub.ask(f"{self.root}/sessions/{self.session['id']}", "DELETE")


async def work(hub: Hub, student: Student, other: Student, options: argparse.Namespace, end: float) -> None:
    """A student's session: start, run notebooks, draw, be refused, leave."""
    notebooks = options.notebooks
    await hub.start(student)
    listed = await hub.ask(f"/user/{student.name}/api/contents/work")
    paths = {entry["name"][: entry["name"].find("_")]: entry["path"] for entry in listed["content"]}
    for number in notebooks:
        if time.monotonic() > end:
            break
        await _notebook(hub, student, other, paths[number], number, options.cells)
        if student.row == 0 and number == notebooks[0] and len(notebooks) > 1:
            await hub.stop(student)  # one of them loses the server in the middle, as by idle culling
            await hub.start(student)
    body = {"note": "load test"}
    own = (await hub.ask(f"/hub/api/users/{student.name}/tokens", "POST", body))["token"]
    student.other_server = await hub.ask(f"/user/{other.name}/api/contents", token=own, fine=(403, 404))


async def _notebook(
    hub: Hub, student: Student, other: Student, path: str, number: str, most: int | None
) -> None:
    contents = f"/user/{student.name}/api/contents/{path}"
    document = await hub.ask(contents)
    kernel = Kernel(hub, student)
    await kernel.open(path)
    cells = [cell for cell in document["content"]["cells"] if cell["cell_type"] == "code"]
    for cell in cells[:most]:
        _, error = await kernel.run(cell["source"])
        if error and "raises-exception" not in cell["metadata"].get("tags", []):
            student.errors.append(f"{number} {cell['id']}: {error}")
    printed, error = await kernel.run(DRAW.format(first=student.drawn, count=LABELS, row=student.row))
    if not error:
        student.drawn += LABELS
        assert f"labels: {student.drawn}" in printed, printed
    else:
        student.errors.append(f"drawing: {error}")
    pid = next(iter(_processes(other)), 1)
    printed, error = await kernel.run(TRESPASS.format(other=str(other.home), pid=pid))
    student.trespass |= json.loads(printed) if not error else {"tried": error}
    # as JupyterLab saves: the student's copy gets a line of the student's own
    document["content"]["cells"][0]["source"] += f"\n\nSeen by {student.name}."
    wanted = {key: document[key] for key in ("type", "format", "content")}
    await hub.ask(contents, "PUT", wanted)
    await kernel.close()
    student.ran.append(number)


def _processes(student: Student) -> list[int]:
    """The processes of a student's account."""
    uid, found = pwd.getpwnam(student.name).pw_uid, []
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended
    return found


def _cpu_seconds(pid: int) -> float:
    """Of a process and of those that it has waited for."""
    try:
        times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
    except OSError:
        return 0.0
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def lost(student: Student) -> int:
    """Labels that were drawn and are not in the student's file, as root reads it."""
    file = student.home / "from-class-to-pixels" / "data" / "annotations" / "load-test.json"
    kept = json.loads(file.read_text("utf-8"))["records"] if student.drawn else []
    points = {tuple(record["label"]["points"][0]) for record in kept if record["label"]}
    return len({(float(k), student.row + 0.25) for k in range(student.drawn)} - points)


def percentile(values: list[float], share: float) -> float:
    """The smallest value that a share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def calculated(students: int, found: dict[str, Any], minutes: float = 5) -> dict[str, float]:
    """What a class of another size needs, from what was measured. A calculation, not a measurement.

    Memory: the private part of each student at the common peak, what all share once, a tenth in reserve.
    Processors: so many that all servers start within `minutes`, and that each student's notebooks take as
    long as they take alone if every tenth student computes at a time.
    """
    memory = 1.1 * (students * found["private_gb"] + found["shared_gb"])
    start = students * found["start_cpu_s"] / (60 * minutes)
    return {"students": students, "memory_gb": round(memory), "cores": math.ceil(max(start, students / 10))}


# ---------------------------------------------------------------- the machine


CONFIG = """
import json
load_subconfig({config!r})
about = json.loads({about!r})
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allowed_users = set(about["users"])
c.JupyterHub.services = [{{"name": "load-test", "api_token": about["token"]}}]
c.JupyterHub.load_roles = [{{
    "name": "load-test", "services": ["load-test"],
    "scopes": ["admin:users", "admin:servers", "access:servers", "tokens", "read:hub"],
}}]
c.ConfigurableHTTPProxy.command = [about["proxy"]]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{{about['ports'][1]}}"
c.JupyterHub.hub_port = about["ports"][2]
"""


def accounts(count: int, base: Path) -> list[Student]:
    """New accounts with closed home folders."""
    students = []
    for k in range(count):
        name, home = f"{PREFIX}{k + 1:02}", base / "home" / f"{PREFIX}{k + 1:02}"
        subprocess.run(["useradd", "-M", "-d", str(home), "-s", "/bin/sh", name], check=True)
        home.mkdir(parents=True)
        account = pwd.getpwnam(name)
        os.chown(home, account.pw_uid, account.pw_gid)
        home.chmod(0o700)
        students.append(Student(name, home, k))
    return students


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start_hub(base: Path, students: list[Student], options: argparse.Namespace) -> tuple[Any, Hub]:
    """The hub as the course configures it, with accounts that need no password and a service that may ask."""
    token, ports = secrets.token_hex(16), free_ports(3)
    (base / "cache").mkdir()
    about = {"users": [s.name for s in students], "token": token, "ports": ports}
    about |= {"proxy": str(Path(options.proxy).resolve())}
    config = base / "config.py"
    config.write_text(CONFIG.format(config=str(HERE / "jupyterhub_config.py"), about=json.dumps(about)))
    address = f"http://127.0.0.1:{ports[0]}"
    environment = os.environ | {
        "LECTUREKIT_HUB_ENVIRONMENT": str(options.environment),
        "LECTUREKIT_HUB_BIND": address,
        "LECTUREKIT_HUB_DB": f"sqlite:///{base / 'hub.sqlite'}",
        "LECTUREKIT_HUB_COOKIE": str(base / "cookie"),
        "LECTUREKIT_SHARED_CACHE": str(base / "cache"),
        "LECTUREKIT_HUB_GIGABYTES": str(options.gigabytes),
        "LECTUREKIT_HUB_PROCESSORS": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    log = open(base / "hub.log", "wb")  # noqa: SIM115  (the hub writes to it as long as it lives)
    command = [sys.executable, "-m", "jupyterhub", "-f", str(config)]
    process = subprocess.Popen(command, cwd=base, env=environment, stdout=log, stderr=log)
    return process, Hub(address, token)


async def ready(hub: Hub, process: Any) -> None:
    """Wait until the hub answers."""
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError("the hub ended; see hub.log")
        try:
            return await hub.ask("/hub/api/info")
        except (OSError, RuntimeError):
            await asyncio.sleep(0.5)
    raise RuntimeError("the hub did not start")


async def session(hub: Hub, process: Any, students: list[Student], options: argparse.Namespace) -> None:
    """All students at once."""
    await ready(hub, process)
    for student in students:
        await hub.ask(f"/hub/api/users/{student.name}", "POST", {}, fine=(409,))
    end = time.monotonic() + 60 * options.minutes
    others = students[1:] + students[:1]
    jobs = [work(hub, s, o, options, end) for s, o in zip(students, others, strict=True)]
    for student, result in zip(students, await asyncio.gather(*jobs, return_exceptions=True), strict=True):
        if isinstance(result, BaseException):
            student.errors.append(f"{type(result).__name__}: {result}")


def summary(students: list[Student], meter: Meter, seconds: float) -> dict[str, Any]:
    """What was measured."""
    count = len(students)
    pss = [meter.peak.get(s.name, {"pss": 0.0})["pss"] for s in students]
    private = sum(one["private"] for one in meter.at_peak.values()) / count
    starts = [value for s in students for value in s.starts]
    cpu = sum(value for _, value in meter.cpu.values()) / count
    return {
        "students": count,
        "seconds": round(seconds),
        "notebooks": {s.name: s.ran for s in students},
        "starts_s": [round(value, 1) for value in starts],
        "start_median_s": round(percentile(starts, 0.5), 1) if starts else None,
        "start_cpu_s": round(percentile([v for s in students for v in s.start_cpu], 0.5), 1) if starts else 0,
        "start_p95_s": round(percentile(starts, 0.95), 1) if starts else None,
        "memory_gb_each_peak": [round(value, 2) for value in pss],
        "memory_gb_all_peak": round(meter.all_pss, 2),
        "private_gb": round(private, 3),
        "shared_gb": round(max(0.0, meter.all_pss - private * count), 2),
        "cpu_s_each": round(cpu),
        "labels_drawn": sum(s.drawn for s in students),
        "labels_lost": sum(map(lost, students)),
        "trespass": {
            key: sorted({s.trespass.get(key, "-") for s in students}) for key in students[0].trespass
        },
        "another's server with one's own token": sorted({s.other_server for s in students}),
        "errors": [f"{s.name}: {error}" for s in students for error in s.errors],
    }


def main() -> int:
    """The command line; returns 0 where nothing was lost, nothing failed and all trespass was refused."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--students", type=int, default=8)
    parser.add_argument("--notebooks", nargs="+", default=["00", "01", "05"])
    parser.add_argument("--environment", type=Path, required=True, help="of the course")
    parser.add_argument("--proxy", required=True, help="configurable-http-proxy")
    parser.add_argument("--cells", type=int, help="of each notebook; all if it is not given")
    parser.add_argument("--minutes", type=float, default=30, help="no notebook is begun after these")
    parser.add_argument("--gigabytes", type=float, default=2.5, help="limit for each process")
    parser.add_argument("--out", type=Path, default=Path("load_test.json"))
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("this makes accounts: run it as root")
    with tempfile.TemporaryDirectory(prefix="lecturekit-hub-") as folder:
        base = Path(folder)
        base.chmod(0o755)
        students, process = [], None
        try:
            students = accounts(options.students, base)
            meter = Meter({pwd.getpwnam(s.name).pw_uid: s.name for s in students})
            meter.start()
            process, hub = start_hub(base, students, options)
            began = time.monotonic()
            asyncio.run(session(hub, process, students, options))
            meter.done.set()
            found = summary(students, meter, time.monotonic() - began)
        finally:
            if process is not None:
                process.terminate()
                process.wait(60)
                shutil.copy(base / "hub.log", options.out.with_suffix(".log"))
            remove(options.students)
    found["calculated"] = [calculated(n, found) for n in (30, 100, 200)]
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    refused = all(set(ends) <= {"refused"} for ends in found["trespass"].values())
    return 0 if not found["errors"] and not found["labels_lost"] and refused else 1


def remove(count: int) -> None:
    """The accounts, after whatever still runs under them."""
    for k in range(count):
        name = f"{PREFIX}{k + 1:02}"
        try:
            running = _processes(Student(name, Path(), k))
        except KeyError:
            continue  # it was not made
        for pid in running:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
        subprocess.run(["userdel", name], check=False)


if __name__ == "__main__":
    sys.exit(main())
