"""Downloads, from a real web server on this machine that misbehaves on demand."""

import base64
import contextlib
import gc
import gzip
import hashlib
import os
import re
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from workflow.core import progress
from workflow.core.errors import UserError
from workflow.core.params import IdxFile
from workflow.data import sources
from workflow.data.sources import faults_of_the_source, fetch_all

CONTENT = b"\0\0\x08\x01" + struct.pack(">I", 10240) + bytes(range(256)) * 40
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
    server.answers = [(404, b""), (404, b""), (200, gzip.compress(CONTENT))]
    place = server.url.replace("//", "//me:secret@")
    with pytest.raises(UserError) as failed:
        fetch_all([FILE], [place], folder)
    fetch_all([FILE], [place], folder)
    assert server.logins == [f"Basic {base64.b64encode(b'me:secret').decode()}"] * 3
    said = str(failed.value) + capsys.readouterr().out
    assert said.count(f"{server.url}: {FILE.name}") == 3
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
    said = f"{server.url}: {FILE.name}.gz and {FILE.name}: HTTP status 404"
    with pytest.raises(UserError, match=re.escape(said)):
        fetch_all([FILE], [server.url], folder)
    assert server.requests == ["/data/train-labels.gz", "/data/train-labels"]


def test_retries_end(server: Server, folder: Path) -> None:
    server.answers = [(503, b"")]
    with pytest.raises(UserError, match="HTTP status 503"):
        fetch_all([FILE], [server.url], folder)
    assert len(server.requests) == sources.ATTEMPTS


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        ([(404, b""), (200, CONTENT)], 2),
        ([(404, b""), (200, gzip.compress(CONTENT))], 2),
        ([(200, CONTENT)], 1),  # a server that decompresses what it sends
        ([(200, b""), (200, CONTENT)], 2),
        ([(204, b""), (200, CONTENT)], 2),
        ([(200, gzip.compress(CONTENT)[:-20]), (200, CONTENT)], 2),
    ],
)
def test_either_name_may_be_plain_or_gzipped(
    server: Server, folder: Path, answers: list[tuple[int, bytes]], asked: int
) -> None:
    server.answers = answers
    fetch_all([FILE], [server.url.replace("http", "HTTP")], folder)
    assert (folder / FILE.name).read_bytes() == CONTENT
    assert len(server.requests) == asked


@pytest.mark.parametrize("name", [FILE.name, f"{FILE.name}.gz"])
@pytest.mark.parametrize("content", [CONTENT, gzip.compress(CONTENT)])
def test_a_folder_may_hold_either_name_plain_or_gzipped(
    folder: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    mirror = tmp_path / "my mirror"
    mirror.mkdir()
    (mirror / name).write_bytes(content)
    fetch_all([FILE], [mirror.as_uri()], folder)
    assert (folder / FILE.name).read_bytes() == CONTENT


@pytest.mark.parametrize("damaged", [FILE.name, f"{FILE.name}.gz"])
def test_a_damaged_file_beside_a_whole_one_of_the_other_name_does_no_harm(
    folder: Path, tmp_path: Path, damaged: str
) -> None:
    for name, content in ((FILE.name, CONTENT), (f"{FILE.name}.gz", gzip.compress(CONTENT))):
        (tmp_path / name).write_bytes(content[:-20] if name == damaged else content)
    fetch_all([FILE], [str(tmp_path)], folder)
    assert (folder / FILE.name).read_bytes() == CONTENT


@pytest.fixture
def mirror(tmp_path: Path) -> str:
    """A good source, to be asked next."""
    place = tmp_path / "mirror"
    place.mkdir()
    (place / FILE.name).write_bytes(CONTENT)
    return str(place)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("http://user:密码@127.0.0.1:9/", "the user name or password in its address has letters"),
        (f"http://{'a' * 64}.invalid/", f"{'a' * 64}.invalid/: {FILE.name}: "),
        ("http://[::1/", "http://[::1/: "),
        ("http://name.invalid:99999/", "name.invalid:99999/: "),
        ("s3://bucket/data", "s3:// is no source: take http://, https://, debian:PACKAGE or a"),
        ("ftp://127.0.0.1/", "ftp:// is no source"),
        ("file:///no/such/place", "no such folder"),
        ("/no\0such/place", "no such folder"),
        ("http:/127.0.0.1/x", "no such folder: a URL begins with http://"),
        ("/no/such\nplace", "  /no/such place: train-labels: no such folder"),
        (__file__, f"{__file__}: train-labels: is a file: name the folder that it is in"),
        ("", ": train-labels.gz and train-labels: not there"),
    ],
)
def test_whatever_a_source_raises_is_one_line_and_the_next_is_tried(
    folder: Path, mirror: str, capsys: pytest.CaptureFixture[str], place: str, said: str
) -> None:
    fetch_all([FILE], [place, mirror], folder)
    assert (folder / FILE.name).read_bytes() == CONTENT
    failed, last = capsys.readouterr().out.splitlines()[-2:]
    assert said in failed
    assert "密码" not in failed
    assert last == f"  {mirror}: {FILE.name}: checksum as expected"


def test_certificates_that_are_not_there_are_named(
    folder: Path, mirror: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexist")
    fetch_all([FILE], ["https://127.0.0.1:9/", mirror], folder)
    failed, _ = capsys.readouterr().out.splitlines()
    assert "OSError: Could not find a suitable TLS CA certificate bundle" in failed
    assert "/nonexist" in failed


def test_a_dead_proxy_is_called_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    for scheme in ("http", "https"):
        said = r"the proxy cannot be reached or refuses \(Connection refused\)"
        with pytest.raises(UserError, match=said):
            fetch_all([FILE], [f"{scheme}://name.invalid/"], folder)


def answering(speak: Callable[[socket.socket], None]) -> str:
    """The URL of a server that says what `speak` sends, to each who asks."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            asking, _ = listener.accept()
            with asking, contextlib.suppress(OSError):
                asking.recv(65536)
                speak(asking)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"


def endless(asking: socket.socket) -> None:
    asking.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + CONTENT)
    while True:
        asking.sendall(bytes(1 << 16))


def endless_noise(asking: socket.socket) -> None:
    """Compressed, what is random grows by less than the rest of the bytes here."""
    noise = os.urandom(1 << 20)
    asking.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + gzip.compress(CONTENT + noise))


def bomb(asking: socket.socket) -> None:
    asking.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + gzip.compress(CONTENT + bytes(1 << 23)))


def no_data(asking: socket.socket) -> None:
    asking.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(4096))


def too_large(asking: socket.socket) -> None:
    header = b"\0\0\x08\x03" + struct.pack(">III", 2**32 - 1, 2**32 - 1, 2**32 - 1)
    asking.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + header + bytes(4096))


def larger_than_any(asking: socket.socket) -> None:
    header = b"\0\0\x08\x03" + struct.pack(">III", 60_000, 1024, 1000)
    asking.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + header + bytes(4096))


def broken_chunks(asking: socket.socket) -> None:
    asking.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n" + CONTENT[:9])


def odd_encoding(asking: socket.socket) -> None:
    asking.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + CONTENT)


def odd_length(asking: socket.socket) -> None:
    asking.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n" + CONTENT)


def no_http(asking: socket.socket) -> None:
    asking.sendall(b"220 mail at your service\r\n")


def dripping(asking: socket.socket) -> None:
    asking.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for number in range(len(CONTENT)):
        asking.sendall(CONTENT[number : number + 1])
        time.sleep(0.1)


def dripping_headers(asking: socket.socket) -> None:
    asking.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        asking.sendall(b"X: y\r\n")
        time.sleep(0.1)


def going_round(asking: socket.socket) -> None:
    """It closes, and says so: a client that kept the connection would find it broken at times."""
    asking.sendall(b"HTTP/1.1 302 Found\r\nLocation: /again\r\n")
    asking.sendall(b"Connection: close\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("speak", "said"),
    [
        (endless, "longer than its first bytes announce"),
        (endless_noise, "longer than its first bytes announce"),
        (bomb, "longer than its IDX header says"),
        (no_data, "no IDX file: it begins with b'"),
        (too_large, "bytes, and /"),
        (larger_than_any, "announces 61440000016 bytes, which are more than 4 GiB"),
        (odd_length, "its Content-Length is 'many', and no number"),
        (broken_chunks, "the connection broke or stalled"),
        (odd_encoding, "its bytes are not of the Content-Encoding that it announces"),
        (no_http, "the connection broke or stalled"),
        (dripping, "slower than 20 kB a second for 0.5 s"),
        (dripping_headers, "slower than 20 kB a second for 0.5 s"),
        (going_round, "TooManyRedirects: Exceeded 30 redirects."),
    ],
)
def test_a_server_out_of_bounds_is_named_and_the_next_source_is_tried(
    folder: Path,
    mirror: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    speak: Callable[[socket.socket], None],
    said: str,
) -> None:
    if said.startswith("slower"):  # the others are fast, but a busy machine is not
        monkeypatch.setattr(sources, "STRETCH_SECONDS", 0.5)
    if speak is too_large:  # for the disk, were any size allowed
        monkeypatch.setattr(sources, "MOST_BYTES", 2**99)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fetch_all([FILE], [answering(speak), mirror], folder)
    assert (folder / FILE.name).read_bytes() == CONTENT
    assert said in capsys.readouterr().out
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_a_body_that_is_refused_is_hung_up_on_at_once(
    folder: Path, mirror: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server serves one client at a time: the second name would find it busy with the first."""
    gc.disable()
    try:
        fetch_all([FILE], [answering(endless), mirror], folder)
    finally:
        gc.enable()
    failed, _ = capsys.readouterr().out.splitlines()
    assert f"{FILE.name}.gz and {FILE.name}: longer than its first bytes announce" in failed


def test_the_reasons_of_both_names_are_kept(server: Server, folder: Path) -> None:
    server.answers = [(404, b""), (503, b"")]
    said = f"{FILE.name}.gz: HTTP status 404, {FILE.name}: HTTP status 503"
    with pytest.raises(UserError, match=re.escape(said)):
        fetch_all([FILE], [server.url], folder)


def test_a_full_disk_is_no_fault_of_the_source(folder: Path) -> None:
    with (
        pytest.raises(OSError, match="No space left on device") as error,
        faults_of_the_source(folder),
        Path("/dev/full").open("w") as file,
    ):
        file.write("x" * 10**6)
    assert error.value.filename == str(folder)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (gzip.compress(CONTENT[:-1]), "wrong bytes"),
        (CONTENT[:-1], "wrong bytes"),
        (gzip.compress(CONTENT)[:-20], "no whole gzip file"),
        (b"<html>log in</html>", "no IDX file: it begins with b'<html>lo'"),
        (b"\x1f\x8bno gzip", "no whole gzip file"),
        (b"", "its body is empty"),
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
    asked = f"{FILE.name}.gz and {FILE.name}"
    assert f"{server.url}: {asked}: {reason}" in capsys.readouterr().out
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
    server.answers = [(200, gzip.compress(CONTENT[:-1]))]
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
    for place in ("debian:some-package", "Debian:some-package"):
        with pytest.raises(UserError, match=f"{place}: .*apt-get and dpkg-deb are not on"):
            fetch_all([FILE], [place], folder)


def test_a_host_out_of_reach_is_asked_once_for_all_files(folder: Path) -> None:
    other = IdxFile(name="other", sha256=FILE.sha256)
    with pytest.raises(UserError) as error:
        fetch_all([FILE, other], ["http://127.0.0.1:9/"], folder)
    assert str(error.value).count("cannot be reached") == 1
