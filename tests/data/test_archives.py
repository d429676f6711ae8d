"""Archives of pictures, well-meant and not."""

import hashlib
import io
import os
import stat
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from workflow.core.errors import UserError
from workflow.data import archives
from workflow.data.archives import copy_folder, fetch_pictures, unpack

FILES = {"photos/cat/1.png": b"cat", "photos/dog 🐕/1.png": b"dog", "photos/.DS_Store": b"hidden"}
# DVC leaves them out of the hash of a folder, so that nobody could vouch for them.
FILES |= {"photos/README.md": b"page", "photos/cat/1.png~": b"backup"}
SUFFIXES = {".zip": None, ".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.xz": "w:xz"}


def tar_with(path: Path, change: Callable[[tarfile.TarInfo], None], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        member = tarfile.TarInfo("cat/1.png")
        member.size = 3
        change(member)
        archive.addfile(member, io.BytesIO(b"cat"))
    return path


def packed(path: Path, files: dict[str, bytes] = FILES) -> Path:
    mode = SUFFIXES["".join(path.suffixes)]
    if mode is None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def found(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_of_archive_is_unpacked(tmp_path: Path, suffix: str) -> None:
    archive, target = packed(tmp_path / f"photos{suffix}"), tmp_path / "target"
    (tmp_path / "own").mkdir()
    target.mkdir()
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    own = str(tmp_path / "own")
    with pytest.raises(UserError, match=r"wrong bytes: SHA-256 [0-9a-f]{64}, not 000000000000…"):
        fetch_pictures(own, [str(archive)], "0" * 64, None, target)
    with pytest.raises(UserError, match=r"data\.sha256 is missing"):
        fetch_pictures(own, [str(archive)], None, None, target)
    assert found(target) == {}
    # A mirror is asked for an archive of the same name.
    fetch_pictures(own, [f"/nowhere/photos{suffix}"], checksum, str(tmp_path), target)
    visible = {name: content for name, content in FILES.items() if name.endswith(".png")}
    assert found(target) == visible


class Served(SimpleHTTPRequestHandler):
    """The files of a folder, or another address for ever."""

    def do_GET(self) -> None:
        if self.path.startswith("/round"):
            self.send_response(302)
            self.send_header("Location", "/round.zip")
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a web server that serves the test's folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Served, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_archive_may_be_named_by_its_address(
    tmp_path: Path, address: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = packed(tmp_path / f"photos{suffix}")
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    for name in ("own", "target", "another"):
        (tmp_path / name).mkdir()
    places = [f"{address}/none.zip", f"{address}/round.zip", f"{address}/photos{suffix}"]
    fetch_pictures(str(tmp_path / "own"), places, checksum, None, tmp_path / "target")
    visible = {name: content for name, content in FILES.items() if name.endswith(".png")}
    assert found(tmp_path / "target") == visible
    monkeypatch.setattr(archives, "MOST_BYTES", 10)
    with pytest.raises(UserError, match=r"status 404.*Exceeded 30 redirects.*longer than 10 bytes"):
        fetch_pictures(str(tmp_path / "own"), places, checksum, None, tmp_path / "another")


@pytest.mark.parametrize("place", ["a.zip?download=1&x=a/b", "a.zip#top", "get?file=a.zip"])
def test_an_address_may_have_a_query_or_a_fragment(
    tmp_path: Path, address: str, place: str
) -> None:
    archive = packed(tmp_path / "a.zip")
    (tmp_path / "get").hardlink_to(archive)
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    own, target, again = (tmp_path / name for name in ("own", "target", "again"))
    for folder in (own, target, again):
        folder.mkdir()
    fetch_pictures(str(own), [f"{address}/{place}"], checksum, None, target)
    assert "photos/cat/1.png" in found(target)
    if not place.startswith("get"):  # a mirror has the file alone
        fetch_pictures(str(own), [f"http://127.0.0.1:9/{place}"], checksum, str(tmp_path), again)
        assert found(again) == found(target)


@pytest.mark.parametrize("name", ["../out.png", "/out.png", "cat/../../out.png", "cat\\out.png"])
def test_nothing_is_written_elsewhere(tmp_path: Path, name: str) -> None:
    target = tmp_path / "inside" / "target"
    target.mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"x")
    tar_with(tmp_path / "a.tar", lambda member: setattr(member, "name", name))
    for kind in ("zip", "tar"):
        with pytest.raises(UserError, match=rf"a\.{kind}: .* leads out of the archive"):
            unpack(tmp_path / f"a.{kind}", target)
    assert found(tmp_path / "inside") == {}
    assert not Path("/out.png").exists()


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE]
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    def change(member: tarfile.TarInfo) -> None:
        member.type, member.linkname, member.size = kind, "/etc/passwd", 0

    tar_with(tmp_path / "a.tar", change)
    with pytest.raises(UserError, match=r"'cat/1\.png' is a link or a device"):
        unpack(tmp_path / "a.tar", tmp_path / "target")


def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    tar_with(tmp_path / "a.tar", lambda member: setattr(member, "name", f"cat/{'x' * 300}.png"))
    with pytest.raises(UserError, match=r"a\.tar: cat/x+…: name too long: pack it anew"):
        unpack(tmp_path / "a.tar", tmp_path / "target")


@pytest.mark.parametrize("code_page", ["utf-8", "cp437"])
def test_names_in_a_zip_that_does_not_say_how_they_are_written(
    tmp_path: Path, code_page: str
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("Zo_ cafe/1.png", b"x")
    # As Info-ZIP writes it, without the flag of UTF-8.
    name = {"utf-8": "Zoë caf", "cp437": "Zoë café"}[code_page].encode(code_page)
    assert len(name) == len(b"Zo_ cafe")
    content = (tmp_path / "a.zip").read_bytes().replace(b"Zo_ cafe", name)
    (tmp_path / "a.zip").write_bytes(content)
    unpack(tmp_path / "a.zip", tmp_path / "target")
    assert [*found(tmp_path / "target")] == [f"{name.decode(code_page)}/1.png"]


def test_an_archive_among_the_pictures_is_named(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    packed(tmp_path / "own" / "a.zip")
    with pytest.raises(UserError, match="holds an archive: move it elsewhere, and name it in data"):
        fetch_pictures(str(tmp_path / "own"), [], None, None, tmp_path / "target")


def test_an_archive_is_named_by_path_or_url_in_any_way(tmp_path: Path) -> None:
    for name in ("own", "my photos"):
        (tmp_path / name).mkdir()
    archive = packed(tmp_path / "my photos" / "a.zip")
    checksum = hashlib.sha256(archive.read_bytes()).hexdigest()
    own = str(tmp_path / "own")
    for number, place in enumerate([str(archive), archive.as_uri(), f"FILE://{archive}"]):
        target = tmp_path / str(number)
        target.mkdir()
        fetch_pictures(own, ["~nobody-of-that-name/a.zip", place], checksum, None, target)
        assert (target / "photos/cat/1.png").exists()
    with pytest.raises(UserError, match=r"no source has the pictures .*s3://b/a\.zip: Inv"):
        fetch_pictures(own, ["s3://b/a.zip"], checksum, None, tmp_path)


def test_a_folder_without_a_file_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("own/cat", "own/dog/old", "own/.hidden/empty", "target"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "own/cat/1.png").write_bytes(b"x")
    (tmp_path / "own/dog/.thumbs").write_bytes(b"x")
    copy_folder(tmp_path / "own", tmp_path / "target")
    assert "folders without a file: 2 (dog, dog/old)\n" in capsys.readouterr().out


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("cat/1.png")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(UserError, match="is a link or a device"):
        unpack(tmp_path / "a.zip", tmp_path / "target")


def test_size_and_number_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/1.png", bytes(2**24))
    monkeypatch.setattr(archives, "_SMALL", 2**20)
    with pytest.raises(UserError, match="when unpacked: take fewer pictures"):
        unpack(tmp_path / "bomb.zip", tmp_path / "target")
    assert found(tmp_path / "target") == {}
    monkeypatch.setattr(archives, "MOST_FILES", 2)
    with pytest.raises(UserError, match="more than 2 files"):
        unpack(packed(tmp_path / "photos.tar"), tmp_path / "target")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_damaged_archive_is_one_line(tmp_path: Path, suffix: str) -> None:
    archive = packed(tmp_path / f"photos{suffix}")
    # In the middle of the first file, where it is not compressed.
    end = 514 if suffix == ".tar" else archive.stat().st_size // 3
    archive.write_bytes(archive.read_bytes()[:end])
    with pytest.raises(UserError, match="cannot be unpacked") as error:
        unpack(archive, tmp_path / "target")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz"])
def test_no_cut_or_flipped_bit_loses_a_picture(tmp_path: Path, suffix: str) -> None:
    files = {f"cat/{n}.png": np.random.default_rng(n).bytes(600) for n in range(3)}
    archive = tmp_path / f"photos{suffix}"
    whole = packed(archive, files).read_bytes()
    places = range(0, len(whole), 7)
    # A plain tar has a sum of its headers alone.
    flipped = [n for n in places if suffix != ".tar" or n // 512 in (0, 3, 6)]
    damaged = [whole[:n] for n in places]
    damaged += [whole[:n] + bytes([whole[n] ^ 1 << n % 8]) + whole[n + 1 :] for n in flipped]
    damaged += [whole[:n] + bytes(512) + whole[n + 512 :] for n in (0, 1536)]
    named = 0
    for number, content in enumerate(damaged):
        archive.write_bytes(content)
        try:
            unpack(archive, tmp_path / str(number))
        except UserError as error:
            named += 1
            assert str(error).startswith(f"photos{suffix}: ")
        else:
            assert found(tmp_path / str(number)) == files
    assert named > len(damaged) / 3


def test_a_folder_is_copied_without_what_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, target = tmp_path / "own", tmp_path / "target"
    for name, content in FILES.items():
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_bytes(content)
    os.link(own / "photos/cat/1.png", tmp_path / "1.png")
    (own / "photos/cat/2.png").symlink_to(tmp_path / "1.png")  # as DVC may link to its cache
    target.mkdir()
    fetch_pictures(str(own), [], None, None, target)
    assert set(found(target)) == {"photos/cat/1.png", "photos/cat/2.png", "photos/dog 🐕/1.png"}
    assert not (target / "photos/cat/2.png").is_symlink()
    with pytest.raises(UserError, match=r"holds files, and .* names others"):
        fetch_pictures(str(own), ["/elsewhere"], None, None, target)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="own is a folder of this repository: name it in"):
        fetch_pictures("empty", ["own"], None, None, target)
