"""Downloads, from a real web server on this machine that misbehaves on demand."""

import base64
import gzip
import hashlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from workflow import progress, sources
from workflow.errors import UserError
from workflow.params import IdxFile
from workflow.sources import fetch_all

CONTENT = bytes(range(256)) * 40
FILE = IdxFile(name="train-labels", sha256=hashlib.sha256(CONTENT).hexdigest())


class Server:
    """Serves what `answers` lists, one entry a request, the last one ever after."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.requests: list[str] = []
        self.logins: list[str | None] = []
        self.stall = 0  # so many requests get half of the body, and then nothing more
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                outer.logins.append(self.headers.get("Authorization"))
                status, body = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body) + (100 if status == 206 else 0)))
                self.end_headers()
                if outer.stall:
                    outer.stall -= 1
                    self.wfile.write(body[: len(body) // 2])
                    self.wfile.flush()
                    time.sleep(2)
                    return
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/data"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    serving = Server()
    yield serving
    serving.http.shutdown()
    serving.http.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    target = tmp_path / "raw"
    target.mkdir()
    return target


def test_a_gzipped_file_arrives_plain_and_checked(server: Server, folder: Path) -> None:
    server.answers = [(200, gzip.compress(CONTENT))]
    fetch_all([FILE], [server.url], folder)
    assert (folder / FILE.name).read_bytes() == CONTENT
    assert server.requests == ["/data/train-labels.gz"]


def test_the_bar_knows_the_size_and_is_filled(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = []

    def noted(*arguments: Any, **options: Any) -> Any:
        bars.append(progress.progress_bar(*arguments, **options))
        return bars[-1]

    monkeypatch.setattr(progress, "in_terminal", lambda: True)
    monkeypatch.setattr(sources, "progress_bar", noted)
    body = gzip.compress(CONTENT)
    server.answers = [(200, body)]
    fetch_all([FILE], [server.url], folder)
    assert [(bar.total, bar.n) for bar in bars] == [(len(body), len(body))]


def test_a_password_in_a_url_is_used_and_not_shown(
    server: Server, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers = [(404, b""), (200, gzip.compress(CONTENT))]
    place = server.url.replace("//", "//me:secret@")
    with pytest.raises(UserError) as failed:
        fetch_all([FILE], [place], folder)
    fetch_all([FILE], [place], folder)
    assert server.logins == [f"Basic {base64.b64encode(b'me:secret').decode()}"] * 2
    said = str(failed.value) + capsys.readouterr().out
    assert said.count(f"{server.url}: {FILE.name}: ") == 3
    assert "secret" not in said


def test_a_passing_failure_is_tried_again(server: Server, folder: Path) -> None:
    server.answers = [(503, b""), (200, gzip.compress(CONTENT))]
    fetch_all([FILE], [server.url], folder)
    assert len(server.requests) == 2


def test_a_broken_transfer_is_tried_again(server: Server, folder: Path) -> None:
    server.answers = [(206, gzip.compress(CONTENT)[:50]), (200, gzip.compress(CONTENT))]
    fetch_all([FILE], [server.url], folder)
    assert len(server.requests) == 2


def test_a_transfer_that_stalls_is_tried_again(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "TIMEOUT_SECONDS", 0.5)
    server.stall = 1
    server.answers = [(200, gzip.compress(CONTENT))]
    fetch_all([FILE], [server.url], folder)
    assert len(server.requests) == 2


def test_a_lasting_failure_is_not(server: Server, folder: Path) -> None:
    server.answers = [(404, b"")]
    with pytest.raises(UserError, match="HTTP status 404"):
        fetch_all([FILE], [server.url], folder)
    assert len(server.requests) == 1


def test_retries_end(server: Server, folder: Path) -> None:
    server.answers = [(503, b"")]
    with pytest.raises(UserError, match="HTTP status 503"):
        fetch_all([FILE], [server.url], folder)
    assert len(server.requests) == sources.ATTEMPTS


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (gzip.compress(CONTENT[:-1]), "wrong bytes"),
        (gzip.compress(CONTENT)[:-20], "no whole gzip file"),
        (b"<html>log in</html>", "no whole gzip file"),
    ],
)
def test_a_source_of_wrong_bytes_is_named_and_the_next_is_tried(
    server: Server,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    body: bytes,
    reason: str,
) -> None:
    server.answers = [(200, body)]
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / FILE.name).write_bytes(CONTENT)
    fetch_all([FILE], [server.url, str(mirror)], folder)
    assert (folder / FILE.name).read_bytes() == CONTENT
    assert f"{server.url}: {FILE.name}: {reason}" in capsys.readouterr().out
    (folder / FILE.name).unlink()
    with pytest.raises(UserError, match=reason):
        fetch_all([FILE], [server.url], folder)
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="what cannot be read is in /proc")
def test_a_folder_that_cannot_be_read_is_named_and_the_next_is_tried(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged, mirror = tmp_path / "damaged", tmp_path / "mirror"
    for place in (damaged, mirror):
        place.mkdir()
    (damaged / FILE.name).symlink_to("/proc/self/mem")  # at its beginning: an input/output error
    (mirror / FILE.name).write_bytes(CONTENT)
    fetch_all([FILE], ["~nobody-of-this-name/data", str(damaged), str(mirror)], folder)
    assert (folder / FILE.name).read_bytes() == CONTENT
    said = capsys.readouterr().out
    assert "~nobody-of-this-name/data: train-labels: no such folder" in said
    assert f"{FILE.name} cannot be read (Input/output error)" in said


def test_when_all_fail_each_is_named_and_nothing_is_left(server: Server, folder: Path) -> None:
    server.answers = [(200, gzip.compress(b"else"))]
    closed = "http://127.0.0.1:9/"
    places = [server.url, closed, "/no/such/folder", "http://name.invalid/"]
    with pytest.raises(UserError) as error:
        fetch_all([FILE], places, folder)
    said = str(error.value)
    assert "\n" not in said
    assert "wrong bytes" in said
    assert f"{closed}: {FILE.name}: cannot be reached" in said
    assert "/no/such/folder: train-labels: no such folder" in said
    assert "http://name.invalid/: train-labels: cannot be reached" in said
    assert "DATA_SOURCE" in said
    assert list(folder.iterdir()) == []


def test_without_apt_the_package_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"debian:some-package: .*apt-get and dpkg-deb are not on"):
        fetch_all([FILE], ["debian:some-package"], folder)


def test_a_host_out_of_reach_is_asked_once_for_all_files(folder: Path) -> None:
    other = IdxFile(name="other", sha256=FILE.sha256)
    with pytest.raises(UserError) as error:
        fetch_all([FILE, other], ["http://127.0.0.1:9/"], folder)
    assert str(error.value).count("cannot be reached") == 1
