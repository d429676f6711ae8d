"""Compare the results and DVC's cache with what `dvc.lock` records, byte for byte.

DVC itself trusts its cache: a damaged object is checked out without a word. Here every
object is hashed again and compared with its name, which is its hash, and every output is
hashed and compared with `dvc.lock`.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workflow.errors import UserError
from workflow.lockfile import (
    FOLDER_SUFFIX,
    LOCK_FILE,
    LockedStage,
    folder_entries,
    md5_of,
    object_path,
    read_lock,
)
from workflow.progress import progress_bar

# The pipeline, and those beside it.
PLACES = (Path(), Path("published"))


@dataclass(frozen=True)
class Damage:
    """A file whose bytes are not those that were recorded.

    Attributes:
        file: in the workspace or in the cache.
        stage: that wrote it, or None where no lock file mentions it.
        repair: the command that brings the right bytes back.
    """

    file: Path
    stage: str | None
    repair: str

    def __str__(self) -> str:
        whose = f"written by stage {self.stage}" if self.stage else "of an earlier result"
        return f"{self.file} ({whose}) is damaged or was edited: {self.repair}"


def main() -> None:
    """Print what is damaged, one line each, and leave with status 1; or say that all is well."""
    argparse.ArgumentParser(prog="python -m commands.verify", description=__doc__).parse_args()
    try:
        stages = locked_stages()
        cache = cache_folder()
        objects = sorted((cache / "files" / "md5").glob("??/*"))
        damages = [*damaged_objects(objects, cache, stages), *damaged_outputs(stages)]
    except (UserError, OSError) as error:
        sys.exit(f"verify: {error}")
    if damages:
        sys.exit("\n".join(f"verify: {damage}" for damage in damages))
    outputs = sum(len(stage.outs) for stage in stages.values())
    print(f"verify: {outputs} outputs and {len(objects)} cache objects are as recorded")


def locked_stages() -> dict[str, LockedStage]:
    """Every stage that a lock file records, of all pipelines.

    Raises:
        UserError: the pipeline's lock file is missing, or one is damaged.
    """
    stages: dict[str, LockedStage] = {}
    for place in PLACES:
        if place == Path() or (place / LOCK_FILE).exists():
            stages |= read_lock(place / LOCK_FILE)
    return stages


def cache_folder() -> Path:
    """Where DVC keeps its cache, by DVC's own word."""
    done = subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"`dvc cache dir` failed: {done.stderr.strip()}")
    return Path(done.stdout.strip())


def damaged_objects(
    objects: list[Path], cache: Path, stages: dict[str, LockedStage]
) -> Iterator[Damage]:
    """Hash each object of the cache and compare with its name."""
    owners = {}
    for name, stage in stages.items():
        for out in stage.outs:
            owners[out.md5] = (name, out.path)
            for entry in folder_entries(object_path(cache, out.md5)) if out.is_folder else ():
                owners[entry.md5] = (name, out.path)
    with progress_bar(len(objects), "verify", "object") as bar:
        for file in objects:
            recorded = file.parent.name + file.name
            if md5_of(file) != recorded.removesuffix(FOLDER_SUFFIX):
                # With the object gone DVC has to make the output again, or fetch it.
                if recorded in owners:
                    name, path = owners[recorded]
                    yield Damage(file, name, f"rm -f {file} && rm -rf {path} && dvc repro")
                else:
                    yield Damage(file, None, f"rm -f {file}")
            bar.update()


def damaged_outputs(stages: dict[str, LockedStage]) -> Iterator[Damage]:
    """Hash each output that is there and compare with the lock file.

    Outputs that are not there have not been reproduced yet, which is no damage.
    """
    for name, stage in stages.items():
        for out in stage.outs:
            path = Path(out.path)
            if path.exists() and md5_of(path) != out.md5:
                yield Damage(path, name, f"rm -rf {path} && dvc repro")


if __name__ == "__main__":
    main()
