"""fetch against a server that does everything wrong: a named error or a good file, never a bad data set."""

import hashlib
import http.client
import http.server
import io
import re
import shutil
import sys
import tarfile
import threading
import zipfile
from contextlib import suppress

import pytest
from typer.testing import CliRunner

from lecturekit.datasets import download
from lecturekit.datasets.download import FetchError, fetch, folder
from lecturekit.datasets.sources import SOURCES, File, Source
from lecturekit.upkeep.cli import app

PICTURE = bytes(range(256)) * 600


def tar(entries, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as made:
        for name, data, changes in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in changes.items():
                setattr(info, key, value)
            made.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


GOOD = tar([("kit/JPEGImages/a.jpg", PICTURE, {}), ("kit/readme.txt", b"hello", {})], "w")


class Handler(http.server.BaseHTTPRequestHandler):
    """What it does wrong is the first part of the path, ``/stall/file.tar``; it counts its requests."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        what = self.path.split("/")[1]
        self.server.asked.append((what, self.headers.get("Range")))
        with suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, what)()

    def send(self, data, status=200, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)
        self.close_connection = True

    def start(self):
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        return int(found[1]) if found else 0

    def good(self, data=None):
        data, start = GOOD if data is None else data, self.start()
        if start:
            self.send(data[start:], 206, Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send(data)

    def no_ranges(self):
        self.send(GOOD)

    def truncates(self):  # promises all, sends a third of what is missing, hangs up
        start = self.start()
        rest = GOOD[start:]
        part = rest[: max(1, len(rest) // 3)]
        about = {"Content_Range": f"bytes {start}-{len(GOOD) - 1}/{len(GOOD)}"} if start else {}
        self.send(part, 206 if start else 200, length=len(rest), **about)

    def stalls(self):
        self.send(GOOD[:1000], length=len(GOOD))
        self.wfile.flush()
        self.server.released.wait(600)

    def drips(self):  # a byte now and then: there is always one before patience ends
        self.send(b"", length=len(GOOD))
        while not self.server.released.wait(0.1):
            self.wfile.write(b"x")
            self.wfile.flush()

    def drips_its_head(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self.server.released.wait(0.1):
            self.wfile.write(b"x")
            self.wfile.flush()

    def short(self):
        self.send(GOOD[:-10])

    def long(self):
        self.send(GOOD + b"more")

    def no_length_long(self):
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(GOOD + b"x" * 5_000_000)
        self.close_connection = True

    def silly_length(self):
        self.send(GOOD, length="-5")

    def wrong(self):
        self.good(bytes(len(GOOD)))

    def wrong_half(self):  # wrong bytes and then the end: what it leaves must not spoil the next mirror
        self.send(bytes(len(GOOD) // 2), length=len(GOOD))

    def page(self):
        self.send(b"<html>Please log in</html>", Content_Type="text/html")

    def gone(self):
        self.send(b"no such file", 404)

    def busy(self):
        self.send(b"later", 503)

    def moved(self):
        self.send(b"", 302, Location="/good/file.tar")

    def moved_to_a_file(self):
        self.send(b"", 302, Location="file:///etc/passwd")

    def in_circles(self):
        self.send(b"", 302, Location="/in_circles/file.tar")

    def moved_to_nowhere(self):
        self.send(b"", 302, Location="http://[::1/file.tar")

    def moved_to_no_name(self):
        self.send(b"", 302, Location=f"http://{'a' * 70}.invalid/file.tar")

    def other_part(self):
        start = self.start()
        self.send(GOOD[7:], 206 if start else 200, Content_Range=f"bytes 7-{len(GOOD) - 1}/{len(GOOD)}")

    def refuses_ranges(self):
        self.send(b"", 416) if self.start() else self.send(GOOD)

    def garbage(self):
        self.wfile.write(b"this is no http at all\r\n\r\n")
        self.close_connection = True

    def hangs_up(self):
        self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.daemon_threads = True
    made.asked, made.released = [], threading.Event()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    made.released.set()
    made.shutdown()
    made.server_close()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LECTUREKIT_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("LECTUREKIT_VOC", raising=False)
    return tmp_path / "data" / "photographs"


def table(server, *mirrors, data=GOOD, name="file.tar", **changes):
    urls = tuple(f"http://127.0.0.1:{server.server_port}/{mirror}/{name}" for mirror in mirrors)
    hashes = {"sha256": hashlib.sha256(data).hexdigest()} | changes
    return {"set": Source("A set", (File(name, urls, len(data), **hashes),), "kit", 10_000_000, "none")}


def take(sources, timeout=60.0, **options):
    return fetch("set", sources=sources, timeout=timeout, progress=False, **options)


#: How long a stalling mirror is waited for: patience enough for a busy machine, where another answers.
PATIENCE = {"stalls": 5.0, "drips": 5.0, "drips_its_head": 2.5}


def nothing_bad(home):
    """No data set, no archive with its final name, nothing half unpacked."""
    left = {path.name for path in home.iterdir()} if home.exists() else set()
    return left <= {".set.lock", "file.tar.part"}


def test_a_good_mirror(server, home):
    found = take(table(server, "good"))
    assert found == home / "set" / "kit"
    assert (found / "JPEGImages/a.jpg").read_bytes() == PICTURE
    assert {p.name for p in home.iterdir()} <= {"set", ".set.lock"}
    asked = len(server.asked)
    assert take(table(server, "good")) == found
    assert len(server.asked) == asked  # it is there: nobody is asked again


@pytest.mark.parametrize("mirror", ["moved", "no_ranges", "truncates", "no_length_long", "refuses_ranges"])
def test_faults_that_end_in_a_good_file(server, home, mirror):
    if mirror == "truncates":
        home.mkdir(parents=True)
        (home / "file.tar.part").write_bytes(GOOD[: -len(GOOD) // 8])
    sources = table(server, mirror, "good")
    assert (take(sources) / "readme.txt").read_bytes() == b"hello"


FAULTS = {
    "stalls": "sent nothing for 5 s",
    "drips": r"sent only \d+ bytes in 5 s",
    "drips_its_head": "did not answer in 5 s",
    "short": "bytes where .* are wanted",
    "long": "bytes where .* are wanted",
    "silly_length": "has -5 bytes",
    "wrong": "its bytes are others than expected",
    "page": "26 bytes where",
    "gone": "answers 404",
    "busy": "answers 503",
    "moved_to_a_file": "not allowed",
    "moved_to_nowhere": "leads to an address that is none",
    "moved_to_no_name": "leads to an address that is none|cannot be reached",
    "in_circles": "answers 302",
    "truncates": r"\d+ of \d+ bytes came",
    "garbage": "broke off",
    "hangs_up": "broke off|cannot be reached",
}


@pytest.mark.parametrize("mirror", FAULTS)
def test_a_fault_is_named_and_the_next_mirror_is_tried(server, home, mirror):
    with pytest.raises(FetchError, match=FAULTS[mirror]) as raised:
        take(table(server, mirror), PATIENCE.get(mirror, 60.0))
    assert "127.0.0.1" in str(raised.value)
    assert "--from" in str(raised.value)
    assert nothing_bad(home)
    found = take(table(server, mirror, "good"), PATIENCE.get(mirror, 60.0))
    assert (found / "readme.txt").read_bytes() == b"hello"


@pytest.mark.parametrize("bad", ["wrong_half", "other_part"])
def test_what_a_bad_mirror_left_does_not_spoil_a_good_one(server, home, bad):
    home.mkdir(parents=True)
    (home / "file.tar.part").write_bytes(bytes(5000))
    assert (take(table(server, bad, "good")) / "readme.txt").read_bytes() == b"hello"


def test_a_network_that_fails_in_the_middle(server, home, monkeypatch):
    def unreachable(*_):
        raise OSError(113, "No route to host")

    with monkeypatch.context() as broken:
        broken.setattr(http.client.HTTPResponse, "read1", unreachable)
        with pytest.raises(FetchError, match=r"broke off .*No route to host"):
            take(table(server, "good"))
    assert nothing_bad(home)
    assert (take(table(server, "good")) / "readme.txt").read_bytes() == b"hello"


def test_it_goes_on_where_it_broke_off(server, home):
    with pytest.raises(FetchError, match="sent nothing"):
        take(table(server, "stalls"), PATIENCE["stalls"])
    assert (home / "file.tar.part").read_bytes() == GOOD[:1000]
    take(table(server, "good"))
    assert server.asked[-1] == ("good", "bytes=1000-")


def test_a_dead_host_is_named(home):
    urls = ("http://127.0.0.1:9/file.tar",)
    sources = {"set": Source("A set", (File("file.tar", urls, 5, sha256="0" * 64),), "kit", 100, "none")}
    with pytest.raises(FetchError, match="cannot be reached"):
        take(sources)
    assert nothing_bad(home)


def test_an_md5_where_there_is_no_better(server, home):
    md5 = hashlib.md5(GOOD).hexdigest()
    take(table(server, "good", sha256=None, md5=md5))
    shutil.rmtree(home)
    with pytest.raises(FetchError, match="others than expected"):
        take(table(server, "good", sha256=None, md5="0" * 32))


EVIL = {
    "up": [("../evil.txt", b"x", {})],
    "absolute": [("/tmp/evil.txt", b"x", {})],
    "backslash": [("kit\\..\\..\\evil.txt", b"x", {})],
    "drive": [("C:evil.txt", b"x", {})],
    "link": [("kit", b"", {"type": tarfile.SYMTYPE, "linkname": "/etc"}), ("kit/evil.txt", b"x", {})],
    "hard link": [("kit/passwd", b"", {"type": tarfile.LNKTYPE, "linkname": "../../passwd"})],
    "device": [("kit/null", b"", {"type": tarfile.CHRTYPE})],
}


@pytest.mark.parametrize("trick", EVIL)
def test_archives_that_lead_outside_are_refused_whole(home, tmp_path, trick):
    data = tar(EVIL[trick])
    (tmp_path / "file.tar").write_bytes(data)
    sources = {
        "set": Source("", (File("file.tar", (), len(data), hashlib.sha256(data).hexdigest()),), "kit", 9, "")
    }
    with pytest.raises(FetchError, match="leads outside"):
        take(sources, source=tmp_path)
    assert nothing_bad(home)
    assert not list(tmp_path.rglob("evil.txt"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kit/a\0b", "cannot be unpacked: embedded null"),
        ("kit/" + "n" * 300, "cannot be unpacked: .*name too long"),
        ("elsewhere/a.jpg", "hold no folder kit"),
    ],
    ids=["null", "long", "elsewhere"],
)
def test_archives_whose_files_have_no_place_here(home, tmp_path, name, words):
    data = tar([("x", b"x", {"pax_headers": {"path": name}})], "w")
    (tmp_path / "file.tar").write_bytes(data)
    file = File("file.tar", (), len(data), hashlib.sha256(data).hexdigest())
    with pytest.raises(FetchError, match=words):
        take({"set": Source("A set", (file,), "kit", 1000, "")}, source=tmp_path)
    assert nothing_bad(home)


def made_zip(entries):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in entries:
            made.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (made_zip([("../evil.txt", b"x")]), "leads outside"),
        (made_zip([("kit/bomb", bytes(5_000_000))]), "far more than it should"),
        (b"PK no zip", "cannot be unpacked"),
        (made_zip([("kit/a", b"x" * 5000)])[:60], "cannot be unpacked"),
    ],
    ids=["leads outside", "bomb", "no zip", "cut short"],
)
def test_zips_that_are_refused(home, tmp_path, data, words):
    (tmp_path / "file.zip").write_bytes(data)
    file = File("file.zip", (), len(data), hashlib.sha256(data).hexdigest())
    with pytest.raises(FetchError, match=words):
        take({"set": Source("", (file,), "kit", 1_000_000, "")}, source=tmp_path)
    assert nothing_bad(home)


def test_a_zip_and_a_folder_with_two_archives(home, tmp_path):
    one, two = made_zip([("kit/a.txt", b"a")]), made_zip([("kit/b.txt", b"b")])
    files = []
    for name, data in (("one.zip", one), ("two.zip", two)):
        (tmp_path / name).write_bytes(data)
        files.append(File(name, (), len(data), hashlib.sha256(data).hexdigest()))
    found = take({"set": Source("", tuple(files), ".", 1000, "")}, source=tmp_path)
    assert sorted(p.name for p in found.rglob("*.txt")) == ["a.txt", "b.txt"]
    assert (tmp_path / "one.zip").exists()  # what was brought stays


def test_what_is_brought_is_checked(server, home, tmp_path):
    (tmp_path / "stick.tar").write_bytes(GOOD)
    assert (take(table(server), source=tmp_path / "stick.tar") / "readme.txt").exists()
    shutil.rmtree(home)
    (tmp_path / "stick.tar").write_bytes(GOOD[:-1])
    with pytest.raises(FetchError, match=r"stick\.tar is no file\.tar"):
        take(table(server), source=tmp_path / "stick.tar")
    assert (tmp_path / "stick.tar").exists()
    for nowhere in (tmp_path / "nothing", tmp_path):
        with pytest.raises(FileNotFoundError, match="source must"):
            take(table(server), source=nowhere)
    assert server.asked == []


def test_a_full_disk_is_seen_before_anything_is_asked(server, home, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1000))
    with pytest.raises(FetchError, match=r"needs 0\.01 GB of free disk"):
        take(table(server, "good"))
    assert server.asked == []


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a file's size are POSIX")
def test_a_disk_that_fills_meanwhile(server, home):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(GOOD) // 2, limits[1]))
    try:
        with pytest.raises(FetchError, match=r"file.tar.part cannot be written \(File too large\)"):
            take(table(server, "good"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert nothing_bad(home)
    assert len(server.asked) == 1  # no other mirror is asked
    assert (take(table(server, "good")) / "readme.txt").read_bytes() == b"hello"


def test_a_run_that_was_killed_while_unpacking(server, home):
    (home / ".set.unpacking-00aa").mkdir(parents=True)
    (home / ".set.unpacking-00aa" / "half").write_bytes(b"x")
    (home / "file.tar").write_bytes(GOOD)  # whole, but never unpacked
    take(table(server, "good"))
    assert server.asked == []
    assert {p.name for p in home.iterdir()} <= {"set", ".set.lock"}


def test_an_interrupt_while_unpacking_leaves_no_data_set(server, home, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "_unpack_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        take(table(server, "good"))
    assert folder("set", table(server)) is None
    assert not list(home.glob(".set.unpacking-*"))


def test_two_at_once_fetch_once(server, home):
    sources, found = table(server, "good"), []
    threads = [threading.Thread(target=lambda: found.append(take(sources))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [home / "set" / "kit"] * 3
    assert len(server.asked) == 1


def test_folder_finds_and_never_fetches(server, home, tmp_path, monkeypatch):
    sources = table(server, "good")
    assert folder("set", sources) is None
    assert server.asked == []
    take(sources)
    assert folder("set", sources) == home / "set" / "kit"
    assert folder("voc2012") is None
    monkeypatch.setenv("LECTUREKIT_VOC", str(tmp_path))
    assert folder("voc2012") == tmp_path


@pytest.mark.parametrize("arguments", [("voc2013",), (None,), (["voc2012"],)])
def test_names_that_are_not_there(arguments):
    for function in (fetch, folder):
        with pytest.raises(ValueError, match="name must be one of 'voc2012', 'sbd'"):
            function(*arguments)
    with pytest.raises(ValueError, match="timeout must be"):
        fetch("voc2012", timeout=0)


def test_the_table():
    for about in SOURCES.values():
        assert about.terms
        for file in about.files:
            assert re.fullmatch(r"[0-9a-f]{64}", file.sha256 or "0" * 64)
            assert re.fullmatch(r"[0-9a-f]{32}", file.md5 or "0" * 32)
            assert bool(file.sha256) != bool(file.md5)
            assert file.reason  # why an MD5 has to do, or who says so
            assert len(set(file.urls)) == len(file.urls) > 1
            assert all(
                url.startswith(("https://", "http://")) and url.endswith(file.name) for url in file.urls
            )


def test_the_command(server, home, tmp_path, monkeypatch):
    monkeypatch.setitem(SOURCES, "voc2012", table(server, "gone")["set"])
    told = CliRunner().invoke(app, ["fetch", "voc2012"])
    assert told.exit_code == 1
    assert "answers 404" in told.output
    (tmp_path / "file.tar").write_bytes(GOOD)
    told = CliRunner().invoke(app, ["fetch", "voc2012", "--from", str(tmp_path / "file.tar")])
    assert told.exit_code == 0
    assert str(home / "voc2012" / "kit") in told.output.replace("\n", "")
    told = CliRunner().invoke(app, ["fetch", "nothing"])
    assert told.exit_code != 0
    assert "voc2012" in told.output


def test_a_mirror_that_stalls_is_given_up_at_once(server, home):
    with pytest.raises(FetchError):
        take(table(server, "stalls"), PATIENCE["stalls"])
    assert server.asked == [("stalls", None)]  # one patience, not three
