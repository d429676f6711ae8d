"""Programs from Debian's archive, for machines that lack them: without root, nothing installed."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest


def unpack(packages: Sequence[str], folder: Path, architecture: str | None = None) -> Path:
    """Packages and all that they need, unpacked into a folder, whose root is returned.

    Args:
        packages: of Debian's archive.
        folder: an empty folder.
        architecture: of the packages, such as `arm64`; by default that of this machine, less what
            is installed already.
    """
    lists, cache, root = (folder / part for part in ("lists", "cache", "root"))
    for place in (lists / "partial", cache / "archives/partial", root):
        place.mkdir(parents=True)
    apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={cache}"]
    apt += ["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="]
    if architecture:
        (folder / "status").touch()  # nothing of that architecture is installed
        apt += [
            "-o",
            f"APT::Architecture={architecture}",
            "-o",
            f"Dir::State::status={folder}/status",
        ]
        apt += ["-o", f"APT::Architectures::={architecture}"]
    try:
        for command in (
            ["update"],
            ["install", "--download-only", "--yes", "--no-install-recommends", *packages],
        ):
            subprocess.run([*apt, *command], check=True, capture_output=True, text=True)
        for archive in sorted((cache / "archives").glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(archive), str(root)], check=True)
    except (subprocess.CalledProcessError, OSError) as error:
        # Nobody would notice that CI tests less.
        complain = pytest.fail if os.environ.get("CI") else pytest.skip
        said = getattr(error, "stderr", None) or error
        complain(f"Debian's {' '.join(packages)} cannot be fetched: {said}")
    return root


def program(name: str, package: str, folder: Path) -> tuple[Path, dict[str, str]]:
    """A program of this machine, or of a package with what that needs, unpacked into a folder.

    Returns:
        Its path, and the variables that it is to be run with.
    """
    if installed := shutil.which(name):
        return Path(installed), {}
    root = unpack([package], folder)
    found = (root / "usr/bin" / name).resolve(strict=True)
    libraries = root / "usr/lib" / f"{os.uname().machine}-linux-gnu"
    return found, {"LD_LIBRARY_PATH": str(libraries)}
