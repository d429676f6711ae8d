"""Where the raw files come from: web hosts, a Debian package, a local folder.

Each kind of source brings one named file into a folder, plain or gzipped. What it brought
is trusted only after its decompressed bytes have the right SHA-256. Until then nothing of it is
believed: whatever it raises is its own failure, after which the next is asked, and it may be
neither slower nor longer than a whole IDX file.
"""

import errno
import gzip
import hashlib
import math
import re
import shutil
import signal
import struct
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
from pooch import HTTPDownloader
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from workflow.core.errors import UserError, first_line
from workflow.core.params import IdxFile
from workflow.core.progress import progress_bar, say

# For a connection, and between two bytes.
TIMEOUT_SECONDS = 20
# For the whole file: in each stretch of so many seconds so many bytes a second.
STRETCH_SECONDS = 30.0
SLOWEST = 20_000
# Of one file, whatever it announces; with the speed, that bounds its whole time, too.
MOST_BYTES = 4 << 30
ATTEMPTS = 3
_WAIT = wait_exponential_jitter(initial=1, max=20)
_BLOCK = 1 << 20
_PACKAGE_PREFIX = "debian:"
# Of a file, plain or gzipped: they hold its IDX header.
_FIRST_BYTES = 1024
_GZIP_MAGIC = b"\x1f\x8b"


class SourceError(Exception):
    """A source cannot serve a file; the message is a short reason.

    Attributes:
        whole_source: no other file need be asked for there.
    """

    def __init__(self, reason: str, whole_source: bool = False) -> None:
        super().__init__(reason)
        self.whole_source = whole_source


class Source(Protocol):
    """Brings files, plain or gzipped whatever their names."""

    def bring(self, name: str, folder: Path) -> Path:
        """Put the file of this very name into `folder`, or find it elsewhere.

        Raises:
            SourceError: it cannot.
        """


def fetch_all(files: Sequence[IdxFile], sources: Sequence[str], folder: Path) -> None:
    """Bring every file into `folder`, decompressed and checked, from the first source that can.

    Args:
        files: names and checksums.
        sources: URLs, local folders or `debian:PACKAGE`, in the order to try them.
        folder: an empty folder.

    Raises:
        UserError: a file could not be had from any source; names each with its reason.
    """
    reasons: list[str] = []
    missing = list(files)
    with tempfile.TemporaryDirectory(prefix="download-") as temporary:
        for number, place in enumerate(sources):
            scratch = Path(temporary, str(number))
            scratch.mkdir()
            source = _source(place, scratch)
            for file in list(missing):
                try:
                    _fetch(source, file, scratch, folder)
                except SourceError as error:
                    reasons.append(without_login(f"{place}: {error}"))
                    say(f"  {reasons[-1]}")
                    if error.whole_source:
                        break
                else:
                    missing.remove(file)
                    say(without_login(f"  {place}: {file.name}: checksum as expected"))
            if not missing:
                return
    raise UserError(
        f"no source has {', '.join(file.name for file in missing)} ({'; '.join(reasons)});"
        " mend data in params.yaml or the network, or name a folder or mirror that has the files in"
        " DATA_SOURCE"
    )


def _fetch(source: Source, file: IdxFile, scratch: Path, folder: Path) -> None:
    """Bring a file by either of its names into `folder`, decompressed and checked.

    Raises:
        SourceError: neither is it; tells what was asked for, and why not.
    """
    names_by_reason: dict[str, list[str]] = {}
    for name in (f"{file.name}.gz", file.name):
        try:
            with faults_of_the_source(scratch):
                brought = source.bring(name, scratch)
            _decompress(brought, folder / file.name, file.sha256)
            return
        except SourceError as error:
            names_by_reason.setdefault(str(error), []).append(name)
            whole_source = error.whole_source
            if whole_source:
                break
    if whole_source and len(names_by_reason) == 1:
        names_by_reason = {reason: [file.name] for reason in names_by_reason}
    reasons = [f"{' and '.join(names)}: {reason}" for reason, names in names_by_reason.items()]
    raise SourceError(", ".join(reasons), whole_source)


def without_login(text: str) -> str:
    """One line of the text, without the user name and password that a URL in it may hold."""
    return re.sub(r"(?<=://)[^/\s]*@", "", " ".join(text.splitlines()))


@contextmanager
def faults_of_the_source(folder: Path) -> Iterator[None]:
    """Whatever is raised is a SourceError, but for a disk without room for the folder."""
    try:
        yield
    except SourceError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(error.errno, error.strerror, str(folder)) from None
        raise SourceError(f"{type(error).__name__}: {first_line(error)}", True) from None


def _source(place: str, scratch: Path) -> Source:
    if place.lower().startswith(_PACKAGE_PREFIX):
        return DebianPackage(place[len(_PACKAGE_PREFIX) :], scratch)
    if path := local_path(place):
        return LocalFolder(path)
    return WebHost(place) if place.lower().startswith(("http://", "https://")) else Unknown(place)


def local_path(place: str) -> Path | None:
    """Where a source lies on this machine; None for a URL, unless it begins with `file://`."""
    scheme, separator, _ = place.partition("://")
    if separator and scheme.lower() != "file":
        return None
    path = Path(url2pathname(urlsplit(place).path) if separator else place)
    try:
        return path.expanduser()
    except RuntimeError:  # ~name of nobody here
        return path


class Unknown:
    """A URL of another kind, such as `s3://`."""

    def __init__(self, url: str) -> None:
        self._scheme = url.partition("://")[0]

    def bring(self, name: str, folder: Path) -> Path:
        """Say which kinds there are."""
        raise SourceError(
            f"{self._scheme}:// is no source: take http://, https://, {_PACKAGE_PREFIX}PACKAGE or a"
            " folder",
            whole_source=True,
        )


class LocalFolder:
    """A folder on this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def bring(self, name: str, folder: Path) -> Path:
        """Find the file; nothing is copied."""
        if not self._path.is_dir():
            reason = "no such folder"
            if self._path.exists():
                reason = "is a file: name the folder that it is in"
            elif url := re.match("(https?|file):", str(self._path), re.IGNORECASE):
                reason += f": a URL begins with {url[0].lower()}//"
            raise SourceError(reason, whole_source=True)
        if not (self._path / name).is_file():
            raise SourceError("not there")
        return self._path / name


class WebHost:
    """A URL below which the files lie, gzipped or plain."""

    def __init__(self, url: str) -> None:
        self._url = url if url.endswith("/") else f"{url}/"

    def bring(self, name: str, folder: Path) -> Path:
        """Download the file."""
        download(f"{self._url}{name}", folder / name)
        return folder / name


def _system_reason(error: BaseException) -> str:
    """The last words of an error that holds others: such as `Connection refused`."""
    return str(error).rpartition("] ")[2].rpartition(": ")[2].strip("'\")")


def download(url: str, target: Path, most: int | None = None) -> None:
    """Download one file, trying again where the failure may pass.

    Args:
        url: of it.
        target: where to write it.
        most: how many bytes it may have; by default what the first of an IDX file announce.

    Raises:
        SourceError: it cannot be had.
    """
    try:
        _download(url, target, most)
    except requests.HTTPError as error:
        reason = f"HTTP status {error.response.status_code}"
        raise SourceError(reason, whole_source=_may_pass(error)) from None
    except requests.Timeout:
        raise SourceError(f"no answer within {TIMEOUT_SECONDS} s", whole_source=True) from None
    except requests.exceptions.ProxyError as error:
        reason = f"the proxy cannot be reached or refuses ({_system_reason(error)})"
        raise SourceError(reason, whole_source=True) from None
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
        reason = "the connection broke or stalled" if _may_pass(error) else "cannot be reached"
        raise SourceError(reason, whole_source=True) from None
    except requests.exceptions.ContentDecodingError:
        raise SourceError("its bytes are not of the Content-Encoding that it announces") from None
    except UnicodeEncodeError as error:
        if error.encoding != "latin-1":
            raise
        raise SourceError(
            "the user name or password in its address has letters beyond Latin-1, which HTTP cannot"
            " send: take others",
            whole_source=True,
        ) from None


def _may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, requests.HTTPError):
        return error.response.status_code in (408, 425, 429, 500, 502, 503, 504)
    if isinstance(error, requests.Timeout | requests.exceptions.ChunkedEncodingError):
        return True
    # No such host, no route, nobody listening, a proxy that refuses: waiting does not help. A
    # transfer that stalls or breaks off is of the same class, and known by its words alone.
    said = str(error).lower()
    return isinstance(error, requests.ConnectionError) and any(
        words in said for words in ("reset", "timed out", "aborted")
    )


@retry(
    retry=retry_if_exception(_may_pass),
    stop=stop_after_attempt(ATTEMPTS),
    wait=_WAIT,
    reraise=True,
)
def _download(url: str, target: Path, most: int | None) -> None:
    # Pooch puts the true size in place of the 1, but passes over a bar of length 0.
    bar = progress_bar(1, target.name, "B", scaled=True)
    with bar, target.open("wb") as file, ExitStack() as answers:
        body = _Body(file, target.parent, most)

        def hang_up_at_the_end(answer: requests.Response, **_: object) -> None:
            # Pooch leaves a body that is refused to the garbage collector. Until that comes, the
            # server sends on, and one that serves one client at a time answers no second request.
            answers.callback(answer.close)
            length = answer.headers.get("Content-Length", "0")
            if not length.isdecimal():  # Pooch would stumble
                raise SourceError(f"its Content-Length is {length!r:.40}, and no number")

        with _fast_enough(body):
            HTTPDownloader(
                progressbar=bar, timeout=TIMEOUT_SECONDS, hooks={"response": hang_up_at_the_end}
            )(url, body, None)
        if not body.size:
            raise SourceError("its body is empty")


class _Body:
    """A file that takes as much of a download as it may have, or its first bytes announce.

    Attributes:
        size: how much it has taken.
    """

    def __init__(self, file: BinaryIO, folder: Path, most: int | None) -> None:
        self.size = 0
        self._file = file
        self._folder = folder
        self._most = most
        self._limit = "its first bytes announce" if most is None else f"{most} bytes"

    def write(self, block: bytes) -> None:
        """Write the next bytes; raises a SourceError where there are too many."""
        if self._most is None:
            plain = _plain_size(block, self._folder)
            # What cannot be compressed grows by much less than that.
            self._most = plain + plain // 100 + len(block) if _is_gzip(block) else plain
        self.size += len(block)
        if self.size > self._most:
            raise SourceError(f"longer than {self._limit}")
        self._file.write(block)

    def flush(self) -> None:
        """Nothing that has to be seen before the end."""


@contextmanager
def _fast_enough(body: _Body) -> Iterator[None]:
    """Raise a SourceError where a transfer is too slow, whatever it is that is waited for.

    A library's own timeouts are for one read, which a byte a second never exceeds.
    """
    before = 0

    def look(_number: int, _frame: object) -> None:
        nonlocal before
        if body.size - before < SLOWEST * STRETCH_SECONDS:
            raise SourceError(
                f"slower than {SLOWEST // 1000} kB a second for {STRETCH_SECONDS:g} s", True
            )
        before = body.size

    handler = signal.signal(signal.SIGALRM, look)
    others = signal.setitimer(signal.ITIMER_REAL, STRETCH_SECONDS, STRETCH_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *others)


class DebianPackage:
    """A package of the Debian archive, got by `apt-get download` with a state of our own.

    That needs no root and leaves the system's package lists alone. The archive's signatures
    are checked by apt itself.
    """

    _TIMEOUT_SECONDS = 300

    def __init__(self, package: str, scratch: Path) -> None:
        self._package = package
        self._state = scratch / "apt"
        self._content: Path | None = None

    def bring(self, name: str, folder: Path) -> Path:
        """Unpack the package, once, and find the file by its name."""
        if self._content is None:
            self._content = self._unpack()
        if not (self._content / name).is_file():
            raise SourceError("not in the package")
        return self._content / name

    def _unpack(self) -> Path:
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise SourceError("apt-get and dpkg-deb are not on this machine", whole_source=True)
        lists, cache = self._state / "lists", self._state / "cache"
        (lists / "partial").mkdir(parents=True)
        (cache / "archives" / "partial").mkdir(parents=True)
        apt = [
            "apt-get",
            "--quiet",
            f"-oDir::State::Lists={lists}",
            f"-oDir::Cache={cache}",
            f"-oAcquire::http::Timeout={TIMEOUT_SECONDS}",
            f"-oAcquire::Retries={ATTEMPTS - 1}",
        ]
        say(f"  {_PACKAGE_PREFIX}{self._package}: asking apt-get")
        self._run([*apt, "update"])
        self._run([*apt, "download", self._package])
        archive = next(self._state.glob("*.deb"), None)
        if archive is None:
            raise SourceError("apt-get download brought no package", whole_source=True)
        content = self._state / "content"
        content.mkdir()
        try:
            self._extract(archive, content)
        except tarfile.TarError as error:
            raise SourceError(f"dpkg-deb cannot unpack it ({error})", whole_source=True) from None
        return content

    @staticmethod
    def _extract(archive: Path, content: Path) -> None:
        """Put every file of the package into `content`, without the folders around it."""
        with (
            subprocess.Popen(
                ["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE
            ) as unpacker,
            tarfile.open(fileobj=unpacker.stdout, mode="r|") as members,
        ):
            for member in members:
                stream = members.extractfile(member) if member.isfile() else None
                if stream is not None:
                    with (content / Path(member.name).name).open("wb") as target:
                        shutil.copyfileobj(stream, target)

    def _run(self, command: list[str]) -> None:
        try:
            done = subprocess.run(
                command,
                cwd=self._state,
                capture_output=True,
                text=True,
                timeout=self._TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SourceError(
                f"apt-get {command[-1]} took over {self._TIMEOUT_SECONDS} s", whole_source=True
            ) from None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.startswith("E:")]
            raise SourceError(lines[0] if lines else "apt-get failed", whole_source=True)


def _decompress(brought: Path, target: Path, sha256: str) -> None:
    """Write the plain bytes to `target` if, and only if, they have the checksum."""
    digest = hashlib.sha256()
    try:
        with target.open("wb") as plain:
            for block in _plain_blocks(brought, target.parent):
                digest.update(block)
                plain.write(block)
    except SourceError:
        target.unlink()
        raise
    if digest.hexdigest() != sha256:
        target.unlink()
        raise SourceError(
            f"wrong bytes: SHA-256 {digest.hexdigest()}, not {sha256[:12]}… as data.files in"
            " params.yaml has it"
        )


def _plain_blocks(brought: Path, folder: Path) -> Iterator[bytes]:
    """The content of an IDX file, decompressed where its first bytes say that it is gzipped.

    Raises:
        SourceError: it cannot be read, is no IDX file, is longer than its header says, or than
            there is room for in `folder`.
    """
    try:
        with brought.open("rb") as source:
            first = source.read(_FIRST_BYTES)
        left = _plain_size(first, folder)
        with (gzip.open if _is_gzip(first) else open)(brought, "rb") as source:
            while block := source.read(_BLOCK):
                left -= len(block)
                if left < 0:
                    raise SourceError("longer than its IDX header says")
                yield block
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"no whole gzip file ({error})") from None
    except OSError as error:  # of reading alone: what cannot be written is no fault of the source
        raise SourceError(f"{brought.name} cannot be read ({error.strerror or error})") from None


def _is_gzip(first: bytes) -> bool:
    return first.startswith(_GZIP_MAGIC)


# Bytes of an item, by the code for its type.
_ITEM_SIZES = {0x08: 1, 0x09: 1, 0x0B: 2, 0x0C: 4, 0x0D: 4, 0x0E: 8}


def _plain_size(first: bytes, folder: Path) -> int:
    """The size of an IDX file in bytes, by the first bytes of it, plain or gzipped.

    Raises:
        SourceError: it is no IDX file, or `folder` has no room for so much.
    """
    try:
        head = zlib.decompressobj(wbits=31).decompress(first, 32) if _is_gzip(first) else first
        zeros, kind, dimensions = struct.unpack_from(">HBB", head)
        if zeros or kind not in _ITEM_SIZES:
            raise SourceError(f"no IDX file: it begins with {head[:8]!r}")
        shape = struct.unpack_from(f">{dimensions}I", head, 4)
    except zlib.error as error:
        raise SourceError(f"no whole gzip file ({error})") from None
    except struct.error:
        raise SourceError("no IDX file: its header is cut short") from None
    size: int = 4 + 4 * dimensions + _ITEM_SIZES[kind] * math.prod(shape)
    room = shutil.disk_usage(folder).free
    if size > MOST_BYTES:
        raise SourceError(f"announces {size} bytes, which are more than {MOST_BYTES >> 30} GiB")
    if size > room:
        raise SourceError(f"announces {size} bytes, and {folder} has room for {room}")
    return size
