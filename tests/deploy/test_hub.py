"""The hub's files: they parse, and pulling an update leaves a student's work alone."""

import json
import os
import pwd
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from support import LIMIT, ROOT
from traitlets.config import Config

HUB = ROOT / "deploy" / "hub"
pytestmark = pytest.mark.skipif(not HUB.is_dir(), reason="an installed copy has no deploy folder")


@pytest.fixture
def config(monkeypatch):
    """The configuration as JupyterHub reads it, on a machine without systemd."""

    def read(**environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        c = Config()
        runpy.run_path(str(HUB / "jupyterhub_config.py"), {"get_config": lambda: c})
        return c

    return read


def test_the_configuration_closes_what_is_a_students(config):
    c = config(LECTUREKIT_HUB_USERS="ada ben", LECTUREKIT_HUB_TEACHERS="cleo")
    assert c.Authenticator.allowed_users == {"ada", "ben"}
    assert c.Authenticator.allow_all is False
    assert c.Spawner.notebook_dir == "~/from-class-to-pixels"
    assert "serve.sh" in " ".join(c.get("SystemdSpawner", c.Spawner).cmd)
    assert c.JupyterHub.services[0]["name"] == "cull-idle"


def test_limits_come_from_the_environment(config):
    c = config(LECTUREKIT_HUB_GIGABYTES="1.5", LECTUREKIT_HUB_PROCESSORS="3")
    limit = c.get("SystemdSpawner", {}).get("mem_limit") or c.Spawner.mem_limit
    assert limit == int(1.5 * 2**30)
    assert c.Spawner.environment["OMP_NUM_THREADS"] == "3"


@pytest.mark.skipif(os.name == "nt", reason="accounts of Unix")
def test_a_home_is_closed_and_its_folders_are_the_students(config, monkeypatch, tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    me = pwd.getpwuid(os.getuid())
    account = pwd.struct_passwd((*me[:5], str(home), me[6]))
    c = config()
    monkeypatch.setattr(pwd, "getpwnam", lambda name: account)
    spawner = type("Spawner", (), {"user": type("User", (), {"name": "ada"})})
    c.Spawner.pre_spawn_hook(spawner)
    c.Spawner.pre_spawn_hook(spawner)  # and again, the next day
    for folder in (home, home / "from-class-to-pixels", home / "from-class-to-pixels" / "data"):
        assert folder.stat().st_mode & 0o777 == 0o700
    data = c.Spawner.environment["LECTUREKIT_DATA"](spawner)
    assert Path(data) == home / "from-class-to-pixels" / "data"
    shutil.rmtree(home)
    with pytest.raises(RuntimeError, match="ada has no home folder"):
        c.Spawner.pre_spawn_hook(spawner)


@pytest.mark.skipif(os.name == "nt", reason="a shell of Unix")
def test_serve_makes_copies_and_then_starts_the_server(tmp_path):
    server = tmp_path / "server"
    server.write_text('#!/bin/sh\necho "$@ $(umask)"\n', encoding="utf-8")
    server.chmod(0o755)
    command = ["/bin/sh", str(HUB / "serve.sh"), "false", str(server), "--a", "b c"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT)
    assert done.stdout == "--a b c 0077\n"
    assert "copies" in done.stderr


def test_the_values_for_kubernetes_say_the_same():
    values = yaml.safe_load((HUB / "values.yaml").read_text("utf-8"))
    single = values["singleuser"]
    assert single["extraEnv"]["LECTUREKIT_DATA"].startswith(single["storage"]["homeMountPath"])
    mounts = {mount["name"]: mount for mount in single["storage"]["extraVolumeMounts"]}
    assert mounts["shared-cache"]["readOnly"] is True
    assert mounts["shared-cache"]["mountPath"] == single["extraEnv"]["LECTUREKIT_SHARED_CACHE"]
    assert all(isinstance(value, str) for value in single["extraEnv"].values())
    assert values["cull"]["enabled"] is True


def test_the_image_is_built_from_the_tested_versions():
    text = (HUB / "Containerfile").read_text("utf-8")
    assert '-c source/constraints.txt "./source[lab,hub,solar]"' in text
    version = re.search(r"FROM \S*python:([\d.]+)", text)[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"{version}.1" in SpecifierSet(project["requires-python"])
    assert text.rstrip().splitlines()[-1].startswith("CMD")
    last = [line.split()[1] for line in text.splitlines() if line.startswith("USER")][-1]
    assert last != "root"


def test_the_load_test_is_a_calculation_for_larger_classes():
    sys.path.insert(0, str(HUB))
    try:
        load = pytest.importorskip("load_test", exc_type=ImportError)
    finally:
        sys.path.remove(str(HUB))
    found = {"private_gb": 1.0, "shared_gb": 2.0, "start_cpu_s": 6.0}
    assert load.calculated(100, found) == {"students": 100, "memory_gb": 112, "cores": 10}
    assert load.percentile([3, 1, 2], 0.5) == 2
    assert load.percentile(list(range(1, 101)), 0.95) == 95


def test_a_label_that_is_missing_is_seen(tmp_path):
    sys.path.insert(0, str(HUB))
    try:
        load = pytest.importorskip("load_test", exc_type=ImportError)
    finally:
        sys.path.remove(str(HUB))
    student = load.Student("a", tmp_path, row=2, drawn=3)
    file = tmp_path / "from-class-to-pixels" / "data" / "annotations" / "load-test.json"
    file.parent.mkdir(parents=True)
    records = [{"label": {"points": [[float(k), 2.25]]}} for k in range(3)]
    file.write_text(json.dumps({"records": records}), encoding="utf-8")
    assert load.lost(student) == 0
    file.write_text(json.dumps({"records": [records[0], records[2], {"label": None}]}), encoding="utf-8")
    assert load.lost(student) == 1


def git(folder, *arguments):
    names = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True, timeout=LIMIT)


def test_pulling_an_update_leaves_a_students_work_alone(tmp_path, monkeypatch):
    """nbgitpuller's link: tracked files follow the course, copies in work/ and files of one's own stay."""
    puller = pytest.importorskip("nbgitpuller.pull")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "t")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "t@example.org")
    course, mine = tmp_path / "course", tmp_path / "mine"
    (course / "notebooks").mkdir(parents=True)
    git(course, "init", "-q", "-b", "main")
    (course / ".gitignore").write_text("work/\n")
    (course / "notebooks" / "a.ipynb").write_text('["one"]\n')
    git(course, "add", "-A")
    git(course, "commit", "-qm", "one")

    def pull():
        for _ in puller.GitPuller(str(course), str(mine), branch="main").pull():
            pass

    pull()
    (mine / "work").mkdir()
    (mine / "work" / "a.ipynb").write_text('["one", "mine"]\n')
    (mine / "notebooks" / "a.ipynb").write_text('["one", "by mistake"]\n')
    (mine / "notebooks" / "own.txt").write_text("own")
    (course / "notebooks" / "a.ipynb").write_text('["two"]\n')
    (course / "notebooks" / "own.txt").write_text("the course's")
    git(course, "add", "-A")
    git(course, "commit", "-qm", "two")
    pull()
    assert (mine / "work" / "a.ipynb").read_text() == '["one", "mine"]\n'
    assert json.loads((mine / "notebooks" / "a.ipynb").read_text()) == ["one", "by mistake"]
    kept = [path.read_text() for path in (mine / "notebooks").glob("own*")]
    assert sorted(kept) == ["own", "the course's"]
