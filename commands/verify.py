"""Compare the results and DVC's cache with what `dvc.lock` records, byte for byte.

DVC itself trusts its cache: a damaged object is checked out without a word. Here every
object is hashed again and compared with its name, which is its hash, and every output is
hashed and compared with `dvc.lock`.
"""

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from commands.main import run_command
from commands.revisions import WORKSPACE, cache_folder, git, is_kept_in_git, resolve
from workflow.errors import UserError
from workflow.lockfile import (
    FOLDER_SUFFIX,
    LOCK_FILE,
    LockedFile,
    LockedStage,
    hashes_in_folder,
    md5_of,
    md5_of_bytes,
    object_path,
)
from workflow.progress import progress_bar, say


@dataclass(frozen=True)
class Damage:
    """A file whose bytes are not those that were recorded.

    Attributes:
        file: in the workspace or in the cache.
        stage: that wrote it, by its address, or None where no lock file mentions it.
        repair: the command that brings the right bytes back.
        what: is wrong with it.
    """

    file: Path
    stage: str | None
    repair: str
    what: str = "is damaged or was edited"

    def __str__(self) -> str:
        whose = f"written by stage {self.stage}" if self.stage else "of an earlier result"
        return f"{self.file} ({whose}) {self.what}: {self.repair}"


def main() -> int:
    """Print what is damaged, one line each: status 1; or say that all is well."""
    argparse.ArgumentParser(prog="python -m commands.verify", description=__doc__).parse_args()
    workspace = resolve(WORKSPACE)
    for pipeline in (Path(name) for name in sorted(workspace.files)):
        if pipeline.name != "dvc.yaml":
            continue
        lock = pipeline.with_name(LOCK_FILE.name)
        if not lock.is_file():
            repro = "dvc repro" if lock == LOCK_FILE else f"dvc repro {shlex.quote(str(pipeline))}"
            raise UserError(f"{lock} is missing: run `{repro}`")
    stages = workspace.lock
    cache = cache_folder()
    # Listed one by one, since a pattern would pass over folders that cannot be read.
    folders = sorted((cache / "files" / "md5").glob("??"))
    objects = [file for folder in folders for file in sorted(folder.iterdir())]
    damages = [*damaged_objects(objects, cache, stages), *damaged_outputs(stages, cache)]
    for damage in damages:
        say(f"verify: {damage}")
    if damages:
        return 1
    outputs = [Path(out.path) for stage in stages.values() for out in stage.outs]
    missing = [str(path) for path in outputs if not path.exists()]
    if missing:
        say(f"verify: not there, to be had by `dvc checkout` or `dvc repro`: {', '.join(missing)}")
    hashed = len(outputs) - len(missing)
    say(f"verify: {hashed} outputs and {len(objects)} cache objects are as recorded")
    return 0


def damaged_objects(
    objects: list[Path], cache: Path, stages: dict[str, LockedStage]
) -> Iterator[Damage]:
    """Hash each object of the cache and compare with its name."""
    owners = {}
    for name, stage in stages.items():
        for out in stage.outs:
            owners[out.md5] = (name, out.path)
            for md5 in hashes_in_folder(object_path(cache, out.md5)) if out.is_folder else ():
                owners[md5] = (name, out.path)
    with progress_bar(len(objects), "verify", "object") as bar:
        for file in objects:
            recorded = file.parent.name + file.name
            if md5_of(file) != recorded.removesuffix(FOLDER_SUFFIX):
                # With the object gone DVC has to make the output again, or fetch it.
                drop = f"rm -f {shlex.quote(str(file))}"
                if recorded in owners:
                    name, path = owners[recorded]
                    yield Damage(file, name, f"{drop} && {_made_again(name, path)}")
                else:
                    yield Damage(file, None, drop)
            bar.update()


def damaged_outputs(stages: dict[str, LockedStage], cache: Path) -> Iterator[Damage]:
    """Hash each output that is there and compare with the lock file.

    Outputs of the cache that are not there have not been reproduced yet, which is no damage.
    """
    for name, stage in stages.items():
        for out in stage.outs:
            path = Path(out.path)
            if path.is_symlink() and not path.exists():
                drop = f"rm -f {shlex.quote(out.path)}"
                yield Damage(path, name, f"{drop} && {_back(name, out)}", "is a link to nothing")
                continue
            if not path.exists():
                if is_kept_in_git(out.path):
                    yield Damage(path, name, _back(name, out), "is missing")
                continue
            try:
                found = md5_of(path)
            except OSError as error:
                yield Damage(path, name, "make it readable", f"cannot be read ({error.strerror})")
                continue
            if found != out.md5:
                known = all(object_path(cache, md5).exists() for md5 in (found, out.md5))
                what = "is of another run" if known else Damage.what
                yield Damage(path, name, _back(name, out, checkout=known), what)


def _back(stage: str, out: LockedFile, checkout: bool = True) -> str:
    """The command that brings an output back: from Git, from the cache, or by making it again.

    Args:
        stage: that writes it.
        out: as the lock file records it.
        checkout: whether the cache may be asked; DVC takes nothing from there for what Git keeps.
    """
    path = shlex.quote(out.path)
    try:
        committed = git("cat-file", "blob", f"HEAD:{out.path}")
    except UserError:
        committed = None
    if committed is not None and md5_of_bytes(committed) == out.md5:
        return f"git restore --staged --worktree {path}"
    if checkout and not is_kept_in_git(out.path):
        return f"dvc checkout {path}"
    return _made_again(stage, out.path)


def _made_again(stage: str, path: str) -> str:
    """The command that makes an output again; `dvc repro` alone knows the root's pipeline only."""
    pipeline = stage.rpartition(":")[0]
    repro = f"dvc repro {shlex.quote(pipeline)}" if pipeline else "dvc repro"
    return f"rm -rf {shlex.quote(path)} && {repro}"


if __name__ == "__main__":
    run_command("verify", main)
