"""JupyterHub for a class on one machine: one shared, read-only environment, a home folder for each student.

Read by ``jupyterhub -f jupyterhub_config.py``. What differs from machine to machine comes from environment
variables, so that this file need not be changed; README.md explains them.
"""

import os
import pwd
import shutil
from pathlib import Path

c = get_config()  # noqa: F821  (JupyterHub gives it)

HERE = Path(__file__).resolve().parent
#: The course's environment: made once, owned by root, which no student can write to.
ENVIRONMENT = Path(os.environ.get("LECTUREKIT_HUB_ENVIRONMENT", "/opt/lecturekit/env"))
#: Results that take long, made once by the teacher (README.md); only read.
SHARED_CACHE = os.environ.get("LECTUREKIT_SHARED_CACHE", "/srv/lecturekit/cache")
MEMORY = int(float(os.environ.get("LECTUREKIT_HUB_GIGABYTES", "2.5")) * 2**30)
PROCESSORS = float(os.environ.get("LECTUREKIT_HUB_PROCESSORS", "2"))
#: Minutes without activity after which a kernel, and then the whole server, is ended. Files stay.
IDLE_KERNEL, IDLE_SERVER = 30, 60

c.JupyterHub.bind_url = os.environ.get("LECTUREKIT_HUB_BIND", "http://127.0.0.1:8000")
c.JupyterHub.db_url = os.environ.get("LECTUREKIT_HUB_DB", "sqlite:////srv/lecturekit/hub/jupyterhub.sqlite")
c.JupyterHub.cookie_secret_file = os.environ.get(
    "LECTUREKIT_HUB_COOKIE", "/srv/lecturekit/hub/jupyterhub_cookie_secret"
)
# Who may sign in: accounts of this machine. Another authenticator needs only these two lines changed.
c.JupyterHub.authenticator_class = "pam"
c.Authenticator.allowed_users = set(os.environ.get("LECTUREKIT_HUB_USERS", "").split())
c.Authenticator.admin_users = set(os.environ.get("LECTUREKIT_HUB_TEACHERS", "").split())
c.Authenticator.allow_all = False

# A lecture begins for all at once.
c.JupyterHub.concurrent_spawn_limit = 10
c.Spawner.start_timeout = 180
c.Spawner.http_timeout = 120


# ---------------------------------------------------------------- what a student gets


def _home(spawner) -> Path:
    return Path(pwd.getpwnam(spawner.user.name).pw_dir)


def _prepare(spawner) -> None:
    """The student's folders, closed to all others. Made as root, handed over, never through a link."""
    account = pwd.getpwnam(spawner.user.name)
    home = Path(account.pw_dir)
    if not home.is_dir() or home.is_symlink():
        raise RuntimeError(f"{spawner.user.name} has no home folder")
    os.chmod(home, 0o700)
    for folder in (home / "from-class-to-pixels", home / "from-class-to-pixels" / "data"):
        if not os.path.lexists(folder):
            os.mkdir(folder, 0o700)
            os.chown(folder, account.pw_uid, account.pw_gid)


c.Spawner.pre_spawn_hook = _prepare
c.Spawner.notebook_dir = "~/from-class-to-pixels"
c.Spawner.default_url = "/lab/tree/work/00_start_here.ipynb"
c.Spawner.environment = {
    # answers, labels, ladder: a folder of the student's own
    "LECTUREKIT_DATA": lambda spawner: str(_home(spawner) / "from-class-to-pixels" / "data"),
    "LECTUREKIT_SHARED_CACHE": SHARED_CACHE,
    # memory that is freed goes back to the machine; without these a kernel keeps much of its largest cell
    "MALLOC_TRIM_THRESHOLD_": "131072",
    "MALLOC_ARENA_MAX": "1",
    # torch would start as many threads as the machine has cores, in every kernel
    "OMP_NUM_THREADS": str(max(1, int(PROCESSORS))),
    "PYTHONDONTWRITEBYTECODE": "1",
    "PATH": f"{ENVIRONMENT / 'bin'}:/usr/local/bin:/usr/bin:/bin",
}
c.Spawner.args = [
    f"--MappingKernelManager.cull_idle_timeout={60 * IDLE_KERNEL}",
    "--MappingKernelManager.cull_interval=120",
    "--ServerApp.terminals_enabled=False",
]
_bring = f"{ENVIRONMENT / 'bin' / 'lecturekit'} start --no-browser from-class-to-pixels"
_server = f"{ENVIRONMENT / 'bin' / 'jupyterhub-singleuser'}"

if Path("/run/systemd/system").is_dir():
    # limits of memory and processors for everything of one student together, kernels included
    c.JupyterHub.spawner_class = "systemdspawner.SystemdSpawner"
    c.SystemdSpawner.mem_limit = MEMORY
    c.SystemdSpawner.cpu_limit = PROCESSORS
    c.SystemdSpawner.isolate_tmp = True
    c.SystemdSpawner.isolate_devices = True
    c.SystemdSpawner.disable_user_sudo = True
    c.SystemdSpawner.readonly_paths = [str(ENVIRONMENT), SHARED_CACHE]
    c.SystemdSpawner.cmd = ["/bin/sh", str(HERE / "serve.sh"), _bring, _server]
else:
    # no systemd (a container): a limit for each process, which a kernel inherits from its server
    c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
    c.Spawner.mem_limit = MEMORY
    _limit = [shutil.which("prlimit") or "prlimit", f"--data={MEMORY}"]
    c.Spawner.cmd = [*_limit, "/bin/sh", str(HERE / "serve.sh"), _bring, _server]

# ---------------------------------------------------------------- housekeeping

c.JupyterHub.load_roles = [
    {
        "name": "cull-idle",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["cull-idle"],
    }
]
c.JupyterHub.services = [
    {"name": "cull-idle", "command": ["jupyterhub-idle-culler", f"--timeout={60 * IDLE_SERVER}"]}
]
