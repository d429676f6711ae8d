"""Pictures as they come: an archive that is unpacked, or a folder that is copied.

An archive is trusted no further than its checksum goes: it may have been made to write elsewhere,
or to fill the disk.
"""

import errno
import gzip
import hashlib
import lzma
import os
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import IO, Self

from workflow.core.errors import UserError
from workflow.core.progress import progress_bar, say, some
from workflow.data.sources import (
    SourceError,
    download,
    faults_of_the_source,
    local_path,
    without_login,
)

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz")
MOST_FILES = 2_000_000
# Pictures are compressed already: what grows further than this is no archive of pictures.
MOST_BYTES = 200 * 2**30
_MOST_GROWTH = 100
_SMALL = 2**30  # which may grow as it likes
_GZIP, _XZ = b"\x1f\x8b", b"\xfd7zXZ\0"
_MOST_PADDING = 2**20  # zeros that end a tar
# What is passed over, beside hidden files and backups: what macOS adds to archives, and what
# .dvcignore leaves out of the hash of a folder.
_PASSED_OVER = ("__MACOSX", "__pycache__", "README.md")


def is_hidden(part: str) -> bool:
    """Whether a file or folder of that name is none of a person's pictures."""
    return part.startswith(".") or part.endswith("~") or part in _PASSED_OVER


def fetch_pictures(
    folder: str, sources: Sequence[str], sha256: str | None, mirror: str | None, target: Path
) -> None:
    """Bring pictures into `target`, as they lie in their folder or archive.

    Args:
        folder: whose files are taken, if it holds any; there must be no sources then.
        sources: archives by URL or path, in the order to try them; or folders.
        sha256: of the archive.
        mirror: a folder or URL that is asked first for an archive of the same name, or None.
        target: an empty folder.

    Raises:
        UserError: there are none to be had, or an archive holds what no archive of pictures does.
    """
    own = Path(folder).expanduser()
    if not own.is_dir():
        raise UserError(f"data.folder: {folder}: no such folder: correct it in params.yaml")
    has_files = any(_files(own))
    if has_files and all(path.name.lower().endswith(SUFFIXES) for path in _files(own)):
        raise UserError(
            f"data.folder: {folder} holds an archive: move it elsewhere, and name it in"
            " data.sources, with its SHA-256 in data.sha256"
        )
    if has_files and sources:
        raise UserError(
            f"data.folder: {folder} holds files, and data.sources names others: empty one of the"
            " two in params.yaml"
        )
    if has_files:
        copy_folder(own, target)
        return
    if not sources:
        raise UserError(
            f"data.folder: {folder} holds no files, and data.sources is empty: put pictures into"
            " the one or name an archive in the other"
        )
    if mirror:
        names = map(_file_name, sources)
        sources = [*(f"{mirror.rstrip('/')}/{name}" for name in names), *sources]
    reasons = []
    for place in sources:
        try:
            _bring(place, sha256, target)
        except SourceError as error:
            reasons.append(without_login(f"{place}: {error}"))
            say(f"  {reasons[-1]}")
        else:
            return
    raise UserError(
        f"no source has the pictures ({'; '.join(reasons)}): mend data in params.yaml or"
        " the network"
    )


def _bring(place: str, sha256: str | None, target: Path) -> None:
    path = local_path(place)
    if path and path.is_dir():
        if path.resolve().is_relative_to(Path.cwd()):
            raise UserError(
                f"data.sources: {place} is a folder of this repository: name it in data.folder, so"
                " that DVC notices when its pictures change"
            )
        say(f"  {place}: DVC does not watch it: `dvc repro --force download` takes its changes")
        copy_folder(path, target)
        return
    name = _file_name(place)
    if not name.lower().endswith(SUFFIXES):
        raise SourceError(f"no folder, and no archive by its name ({', '.join(SUFFIXES)})")
    if sha256 is None:
        raise UserError("data.sha256 is missing: give the SHA-256 of the archive in params.yaml")
    with tempfile.TemporaryDirectory(prefix="download-") as scratch:
        if path is None:
            path = Path(scratch, name)
            with faults_of_the_source(Path(scratch)):
                download(place, path, min(MOST_BYTES, shutil.disk_usage(scratch).free))
        try:
            with path.open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise SourceError(error.strerror or str(error)) from None
        if found != sha256:
            raise SourceError(f"wrong bytes: SHA-256 {found}, not {sha256[:12]}… as data.sha256 is")
        say(without_login(f"  {place}: checksum as expected"))
        unpack(path, target)


def _file_name(place: str) -> str:
    """Of an archive, without the query or fragment that a URL may have behind it."""
    bare = re.split("[?#]", place, maxsplit=1)[0] if local_path(place) is None else place
    if not bare.lower().endswith(SUFFIXES):
        bare = place  # such as download?file=photos.zip
    return bare.rstrip("/").rpartition("/")[2]


def copy_folder(folder: Path, target: Path) -> None:
    """Copy all files but the hidden ones; a link to a file is taken for the file.

    Raises:
        UserError: a link leads to a folder or nowhere, or there are too many files or bytes.
    """
    count, size, hidden = 0, 0, 0
    empty = {path.relative_to(folder) for path in folder.rglob("*") if path.is_dir()}
    empty -= {path for path in empty if any(map(is_hidden, path.parts))}
    for path in _files(folder, with_hidden=True):
        inner = path.relative_to(folder)
        if any(map(is_hidden, inner.parts)):
            hidden += 1
            continue
        if not path.is_file():
            raise UserError(f"{path}: no file, and no link to one: delete it, or put a copy there")
        count, size = count + 1, size + path.stat().st_size
        _require_bounds(str(folder), count, size)
        (target / inner).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / inner)
        empty -= {*inner.parents}
    say(f"  {folder}: {count} files, {hidden} hidden ones passed over")
    if empty:
        say(f"  {folder}: folders without a file: {some(sorted(map(str, empty)))}")


def _files(folder: Path, with_hidden: bool = False) -> Iterator[Path]:
    """What lies in a folder, and below it, and is no folder."""
    for place, folders, names in os.walk(folder):
        for name in sorted(names):
            if with_hidden or not is_hidden(name):
                yield Path(place, name)
        links = [name for name in folders if Path(place, name).is_symlink()]
        yield from (Path(place, name) for name in links)


def unpack(archive: Path, target: Path) -> None:
    """Unpack the files of an archive that are not hidden.

    Raises:
        UserError: a name leads out of `target` or is there twice; there are links, devices or
            encrypted files; there are too many files or bytes; or the archive is damaged.
    """
    limit = min(MOST_BYTES, max(_SMALL, _MOST_GROWTH * archive.stat().st_size))
    count, size, hidden = 0, 0, 0
    try:
        with progress_bar(0, archive.name, "file") as bar:
            for name, length, stream in _members(archive):
                count, size = count + 1, size + length
                _require_bounds(archive.name, count, size, limit)
                inner = PurePosixPath(name)
                if inner.is_absolute() or ".." in inner.parts or "\\" in name or "\0" in name:
                    raise UserError(
                        f"{archive.name}: {name!r} leads out of the archive: pack it anew"
                    )
                if any(map(is_hidden, inner.parts)):
                    hidden += 1
                    continue
                path = target / inner
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    shutil.copyfileobj(stream, file)
                bar.update()
    except FileExistsError as error:
        name = str(Path(error.filename).relative_to(target))
        raise UserError(f"{archive.name}: {name} is there twice: pack it anew") from None
    except (
        *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, lzma.LZMAError, zlib.error),
        *(EOFError, NotImplementedError, ValueError),
    ) as error:
        raise UserError(f"{archive.name}: cannot be unpacked ({error}): pack it anew") from None
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:  # such as a full disk
            raise
        raise UserError(f"{archive.name}: {name[:60]}…: name too long: pack it anew") from None
    say(f"  {archive.name}: {count - hidden} files, {hidden} hidden ones passed over")


def _members(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Name, size and content of each file of an archive; a UserError for what is no file."""

    def refuse(name: str, what: str) -> UserError:
        return UserError(f"{archive.name}: {name!r} is {what}: pack the pictures alone")

    if archive.name.lower().endswith(".zip"):
        with _opened_zip(archive) as entries:
            for entry in entries.infolist():
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if entry.is_dir():
                    continue
                if kind not in (0, stat.S_IFREG):
                    raise refuse(entry.filename, "a link or a device")
                if entry.flag_bits & 1:
                    raise refuse(entry.filename, "encrypted")
                with entries.open(entry) as stream:
                    yield entry.filename, entry.file_size, stream
        return
    # As a stream, which no member can send backwards. tarfile's own decompression checks no sum.
    with (
        _decompressed(archive) as whole,
        tarfile.open(fileobj=whole, mode="r|", tarinfo=_Member) as members,
    ):
        for member in members:
            if member.isdir():
                continue
            content = members.extractfile(member) if member.isreg() else None
            if content is None:
                raise refuse(member.name, "a link or a device")
            yield member.name, member.size, content
        # What is compressed has its sum at the end; and zeros in the middle look like the end.
        rest = members.fileobj.read(_MOST_PADDING)
        if any(rest) or len(rest) == _MOST_PADDING:
            raise tarfile.ReadError("there is more behind its end")


def _opened_zip(archive: Path) -> zipfile.ZipFile:
    """A zip whose names are in UTF-8, if they can be, also where it does not say so.

    Programs on Linux and macOS write them so. What cannot be UTF-8 is in the code page of the PC.
    """
    try:
        return zipfile.ZipFile(archive, metadata_encoding="utf-8")
    except UnicodeDecodeError:
        return zipfile.ZipFile(archive)


class _Member(tarfile.TarInfo):
    """A member of which a damaged or missing header is an error: tarfile takes it for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if buf and not any(buf):
                raise  # the end, which is a block of zeros
            raise tarfile.ReadError(str(error)) from None


def _decompressed(archive: Path) -> gzip.GzipFile | lzma.LZMAFile | BufferedReader:
    with archive.open("rb") as stream:
        beginning = stream.read(len(_XZ))
    if beginning.startswith(_GZIP):
        return gzip.open(archive)
    return lzma.open(archive) if beginning == _XZ else archive.open("rb")


def _require_bounds(name: str, count: int, size: int, limit: int = MOST_BYTES) -> None:
    if count > MOST_FILES:
        raise UserError(f"{name}: more than {MOST_FILES} files: take fewer")
    if size > limit:
        raise UserError(f"{name}: more than {limit >> 30} GiB when unpacked: take fewer pictures")
