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

from commands.review.dvc import (
    WORKSPACE,
    cache_folder,
    repro_command,
    run_hash,
    wrong_sizes,
)
from commands.review.lockfile import (
    FOLDER_SUFFIX,
    LockedFile,
    LockedStage,
    hashes_in_folder,
    md5_of,
    md5_of_bytes,
    object_path,
    pipeline_of,
)
from commands.review.revisions import git, is_kept_in_git, resolve
from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.progress import counted, progress_bar, say
from workflow.core.yaml import InvalidYamlError, parse_yaml


@dataclass(frozen=True)
class Damage:
    """A file whose bytes are not those that were recorded.

    Attributes:
        file: in the workspace or in the cache.
        stage: that wrote it, by its address, or None where no lock file mentions it.
        repair: the command that brings the right bytes back.
        what: what is wrong with it.
    """

    file: Path
    stage: str | None
    repair: str
    what: str = "is damaged or was edited"

    def __str__(self) -> str:
        whose = f"written by stage {self.stage}" if self.stage else "of an earlier result"
        return f"{self.file} ({whose}) {self.what}: {self.repair}"


def main(arguments: list[str]) -> int:
    """Print what is damaged, one line each: status 1; or say that all is well."""
    parser = argparse.ArgumentParser(prog="python -m commands verify", description=__doc__)
    parser.parse_args(arguments)
    workspace = resolve(WORKSPACE)
    for name in sorted(workspace.files):
        lock = Path(name).with_name(paths.LOCK.name)
        if Path(name).name == paths.PIPELINE.name and not lock.is_file():
            raise UserError(f"{lock} is missing: run `{repro_command(name)}`")
    stages = workspace.lock
    cache = cache_folder()
    # Listed one by one, since a pattern would pass over folders that cannot be read.
    folders = sorted((cache / "files" / "md5").glob("??"))
    objects = [file for folder in folders for file in sorted(folder.iterdir())]
    # DVC writes an entry beside its place, under another name, before it is whole.
    runs = [file for file in sorted((cache / "runs").glob("??/*/*")) if len(file.name) == 64]
    damages: list[Damage | str] = [
        *damaged_objects(objects, cache, stages),
        *damaged_runs(runs),
        *damaged_outputs(stages, cache),
    ]
    # Of what is damaged, another size says nothing new.
    damages = damages or [
        f"{paths.LOCK} records of {path} in stage {stage} {what}: `git restore {paths.LOCK}`, or"
        f" `{repro_command(stage, '--force')}`"
        for stage, path, what in wrong_sizes()
    ]
    damages = damages or [*runs_of_wrong_sizes(runs, cache)]
    for damage in damages:
        say(f"verify: {damage}")
    if damages:
        return 1
    outputs = [Path(out.path) for stage in stages.values() for out in stage.outs]
    missing = [str(path) for path in outputs if not path.exists()]
    if missing:
        say(f"verify: not there: {', '.join(missing)}: `dvc checkout` or `dvc repro` brings them")
    hashed = len(outputs) - len(missing)
    say(
        f"verify: {counted(hashed, 'output')}, {counted(len(objects), 'cache object')} and"
        f" {counted(len(runs), 'run')} are as recorded"
    )
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
                    yield Damage(file, name, f"{drop} && {_remake_command(name, path)}")
                else:
                    yield Damage(file, None, drop)
            bar.update()


def damaged_runs(runs: list[Path]) -> Iterator[Damage]:
    """Hash each entry of the run cache, by which DVC knows results without running a stage."""
    for file in runs:
        try:
            whole = run_hash(parse_yaml(file.read_bytes())) == file.name
        except (InvalidYamlError, TypeError, AttributeError):  # it is no record of a stage
            whole = False
        if not whole:
            yield Damage(file, None, f"rm -f {shlex.quote(str(file))}")


def runs_of_wrong_sizes(runs: list[Path], cache: Path) -> Iterator[Damage]:
    """Compare the sizes in each entry of the run cache, which its name leaves out, with the cache.

    Args:
        runs: whole but for that.
        cache: whose objects are whole.
    """
    for file in runs:
        entry = parse_yaml(file.read_bytes())
        for item in [*entry.get("deps", []), *entry.get("outs", [])]:
            recorded = object_path(cache, item.get("md5", ""))
            is_folder = recorded.suffix == FOLDER_SUFFIX
            hashes = hashes_in_folder(recorded) if is_folder else [item.get("md5", "")]
            objects = [object_path(cache, md5) for md5 in hashes]
            if not all(path.is_file() for path in [recorded, *objects]):
                continue  # sources are not in the cache, and `dvc gc` deletes from it
            found = {"size": sum(path.stat().st_size for path in objects), "nfiles": len(objects)}
            if any(item.get(name, number) != number for name, number in found.items()):
                drop = f"rm -f {shlex.quote(str(file))}"
                yield Damage(file, None, drop, f"records a wrong size of {item['path']}")
                break


def damaged_outputs(stages: dict[str, LockedStage], cache: Path) -> Iterator[Damage]:
    """Hash each output that is there and compare with the lock file.

    Outputs of the cache that are not there have not been reproduced yet, which is no damage.
    """
    for name, stage in stages.items():
        for out in stage.outs:
            path = Path(out.path)
            if path.is_symlink() and not path.exists():
                drop = f"rm -f {shlex.quote(out.path)}"
                yield Damage(
                    path, name, f"{drop} && {_restore_command(name, out)}", "is a link to nothing"
                )
                continue
            if not path.exists():
                if is_kept_in_git(out.path):
                    yield Damage(path, name, _restore_command(name, out), "is missing")
                continue
            try:
                found = md5_of(path)
            except OSError as error:
                yield Damage(path, name, "make it readable", f"cannot be read ({error.strerror})")
                continue
            if found != out.md5:
                known = all(object_path(cache, md5).exists() for md5 in (found, out.md5))
                what = "is of another run" if known else Damage.what
                yield Damage(path, name, _restore_command(name, out, checkout=known), what)


def _restore_command(stage: str, out: LockedFile, checkout: bool = True) -> str:
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
    return _remake_command(stage, out.path)


def _remake_command(stage: str, path: str) -> str:
    """The command that makes an output again."""
    return f"rm -rf {shlex.quote(path)} && {repro_command(pipeline_of(stage))}"
