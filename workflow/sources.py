"""Where the raw files come from: web hosts, a Debian package, a local folder.

Each kind of source brings one named file into a folder, plain or gzipped. What it brought
is trusted only after its decompressed bytes have the right SHA-256.
"""

import gzip
import hashlib
import re
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import requests
from pooch import HTTPDownloader
from tenacity import retry, retry_if_exception, stop_after_attempt, wait_exponential_jitter

from workflow.errors import UserError
from workflow.params import IdxFile
from workflow.progress import progress_bar, say

# For a connection, and between two bytes; not for the whole file.
TIMEOUT_SECONDS = 20
ATTEMPTS = 3
_WAIT = wait_exponential_jitter(initial=1, max=20)
_BLOCK = 1 << 20
_PACKAGE_PREFIX = "debian:"


class SourceError(Exception):
    """A source cannot serve a file; the message is a short reason.

    Attributes:
        whole_source: no other file need be asked for there.
    """

    def __init__(self, reason: str, whole_source: bool = False) -> None:
        super().__init__(reason)
        self.whole_source = whole_source


class Source(Protocol):
    """Brings files, plain or gzipped."""

    def bring(self, name: str, folder: Path) -> Path:
        """Put the file, or the file with `.gz` behind its name, into `folder`.

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
                    _decompress(source.bring(file.name, scratch), folder / file.name, file.sha256)
                except SourceError as error:
                    reasons.append(_without_login(f"{place}: {file.name}: {error}"))
                    say(f"  {reasons[-1]}")
                    if error.whole_source:
                        break
                else:
                    missing.remove(file)
                    say(_without_login(f"  {place}: {file.name}: checksum as expected"))
            if not missing:
                return
    raise UserError(
        f"no source has {', '.join(file.name for file in missing)} ({'; '.join(reasons)});"
        " mend data in params.yaml or the network, or name a folder or mirror that has the files in"
        " DATA_SOURCE"
    )


def _without_login(text: str) -> str:
    """The text without the user name and password that a URL in it may hold."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


def _source(place: str, scratch: Path) -> Source:
    if place.startswith(_PACKAGE_PREFIX):
        return DebianPackage(place.removeprefix(_PACKAGE_PREFIX), scratch)
    if place.startswith(("http://", "https://")):
        return WebHost(place)
    return LocalFolder(Path(place.removeprefix("file://")))


class LocalFolder:
    """A folder on this machine."""

    def __init__(self, path: Path) -> None:
        try:
            self._path = path.expanduser()
        except RuntimeError:  # ~name of nobody here
            self._path = path

    def bring(self, name: str, folder: Path) -> Path:
        """Find the file; nothing is copied."""
        if not self._path.is_dir():
            raise SourceError("no such folder", whole_source=True)
        for candidate in (self._path / name, self._path / f"{name}.gz"):
            if candidate.is_file():
                return candidate
        raise SourceError(f"neither {name} nor {name}.gz is there")


class WebHost:
    """A URL below which the files lie, gzipped."""

    def __init__(self, url: str) -> None:
        self._url = url if url.endswith("/") else f"{url}/"

    def bring(self, name: str, folder: Path) -> Path:
        """Download `NAME.gz`, trying again where the failure may pass."""
        target = folder / f"{name}.gz"
        url = f"{self._url}{name}.gz"
        try:
            _download(url, target)
        except requests.HTTPError as error:
            raise SourceError(f"HTTP status {error.response.status_code}") from None
        except requests.Timeout:
            raise SourceError(f"no answer within {TIMEOUT_SECONDS} s", whole_source=True) from None
        except requests.ConnectionError as error:
            reason = "the connection broke or stalled" if _may_pass(error) else "cannot be reached"
            raise SourceError(reason, whole_source=True) from None
        except requests.RequestException as error:
            raise SourceError(f"{type(error).__name__}: {error}") from None
        return target


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
def _download(url: str, target: Path) -> None:
    # Pooch puts the true size in place of the 1, but passes over a bar of length 0.
    bar = progress_bar(1, target.name, "B", scaled=True)
    with bar:
        HTTPDownloader(progressbar=bar, timeout=TIMEOUT_SECONDS)(url, str(target), None)


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
        for candidate in (self._content / name, self._content / f"{name}.gz"):
            if candidate.is_file():
                return candidate
        raise SourceError(f"the package has no {name}")

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
            for block in _plain_blocks(brought):
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


def _plain_blocks(brought: Path) -> Iterator[bytes]:
    """The content of a file, decompressed if its name says so."""
    opener = gzip.open if brought.suffix == ".gz" else open
    try:
        with opener(brought, "rb") as source:
            while block := source.read(_BLOCK):
                yield block
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise SourceError(f"no whole gzip file ({error})") from None
    except OSError as error:  # of reading alone: what cannot be written is no fault of the source
        raise SourceError(f"{brought.name} cannot be read ({error.strerror or error})") from None
