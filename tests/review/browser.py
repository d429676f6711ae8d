"""A real headless browser for the tests, found on this machine or fetched without root.

`python -m tests.review.browser` fetches it ahead of time, and prints where it is.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import matplotlib

NAMES = (
    "chromium-headless-shell",
    "chrome-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
)
PHONE_WIDTH = 390
_PACKAGE = "chromium-headless-shell"
_BINARY = "usr/lib/chromium/chromium-headless-shell"
# A full browser, other than the shell, makes its window no narrower than this many pixels.
_NARROWEST_WINDOW = 500
_FOLDER = Path(__file__).parents[2] / ".browser_cache"


class NoBrowserError(Exception):
    """None is here, and none can be fetched; the message says why."""


@dataclass(frozen=True)
class Page:
    """What a page became.

    Attributes:
        dom: its HTML after its scripts ran.
        console: what it wrote to the console, warnings and errors included.
    """

    dom: str
    console: list[str]


@dataclass(frozen=True)
class Browser:
    """A browser that can reach no network.

    Attributes:
        binary: what to run.
        environment: where it finds the libraries that it was fetched with.
    """

    binary: Path
    environment: dict[str, str]

    @property
    def is_shell(self) -> bool:
        """Whether it is made to run without a screen, and so can be of any size."""
        return "headless-shell" in self.binary.name

    @property
    def phone_width(self) -> int:
        """The width of a phone in pixels, or what comes closest to it."""
        return PHONE_WIDTH if self.is_shell else max(PHONE_WIDTH, _NARROWEST_WINDOW)

    def open(self, page: Path, *, width: int = 1400, dark: bool = False) -> Page:
        """Open a file, let its scripts run, and tell what became of it."""
        done = self._run(page, width, 900, dark, "--dump-dom", "--virtual-time-budget=20000")
        console = re.findall(r"CONSOLE[:(]\d+\)?\] (.*)", done.stderr)
        return Page(done.stdout, console)

    def screenshot(
        self, page: Path, picture: Path, *, width: int, height: int, dark: bool = False
    ) -> None:
        """Save what a window of this size shows of a file."""
        arguments = (f"--screenshot={picture}", "--virtual-time-budget=20000", "--hide-scrollbars")
        self._run(page, width, height, dark, *arguments)

    def _run(
        self, page: Path, width: int, height: int, dark: bool, *arguments: str
    ) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory(prefix="browser-") as profile:
            return subprocess.run(
                [
                    str(self.binary),
                    *([] if self.is_shell else ["--headless"]),
                    "--no-sandbox",  # which root and containers lack; the pages are our own
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                    "--enable-logging=stderr",
                    f"--user-data-dir={profile}",
                    # No network: every host name fails, and so does every address.
                    "--host-resolver-rules=MAP * ~NOTFOUND",
                    "--proxy-server=127.0.0.1:9",
                    f"--blink-settings=preferredColorScheme={0 if dark else 1}",
                    f"--window-size={width},{height}",
                    *arguments,
                    page.resolve().as_uri(),
                ],
                env=os.environ | self.environment,
                capture_output=True,
                text=True,
                check=True,
                timeout=120,
            )


def find_browser() -> Browser:
    """Find a browser on the path, or fetch Debian's into a folder of this repository.

    Raises:
        NoBrowserError: neither can be had.
    """
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return Browser(Path(found), {})
    root = _FOLDER / "root"
    if not (root / _BINARY).is_file():
        _fetch(root)
    libraries = root / "usr/lib" / f"{os.uname().machine}-linux-gnu"
    environment = {
        "LD_LIBRARY_PATH": f"{libraries}:{libraries}/pulseaudio",
        "FONTCONFIG_FILE": str(_fonts()),
    }
    return Browser(root / _BINARY, environment)


def _fetch(root: Path) -> None:
    """Download the package and whatever it needs that is not installed; unpack, do not install."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise NoBrowserError(f"no {' or '.join(NAMES)} on the path, and no apt-get to fetch one")
    lists, cache = _FOLDER / "lists", _FOLDER / "archives"
    for folder in (lists / "partial", cache / "archives/partial"):
        folder.mkdir(parents=True, exist_ok=True)
    # Lists and downloads in folders of our own need no root, and leave the system's alone.
    apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={cache}"]
    apt += ["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="]
    try:
        subprocess.run([*apt, "update"], check=True, capture_output=True, text=True, timeout=300)
        install = ["install", "--download-only", "--yes", "--no-install-recommends", _PACKAGE]
        subprocess.run([*apt, *install], check=True, capture_output=True, text=True, timeout=600)
        partial = _FOLDER / ".partial.root"
        shutil.rmtree(partial, ignore_errors=True)  # left by a run that was stopped
        for package in sorted((cache / "archives").glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(package), str(partial)], check=True)
        partial.rename(root)
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", None) or error
        raise NoBrowserError(f"Debian's {_PACKAGE} cannot be fetched: {said}") from None
    finally:
        shutil.rmtree(lists, ignore_errors=True)
        shutil.rmtree(cache, ignore_errors=True)


def _fonts() -> Path:
    """A font configuration that has the fonts of matplotlib, for a machine without any."""
    file = _FOLDER / "fonts.conf"
    folder = Path(matplotlib.get_data_path(), "fonts/ttf")
    file.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        f"<dir>{folder}</dir><cachedir>{_FOLDER}/fonts</cachedir></fontconfig>",
        encoding="utf-8",
    )
    return file


if __name__ == "__main__":
    try:
        print(find_browser().binary)
    except NoBrowserError as error:
        sys.exit(f"browser: {error}")
