"""`dvc.lock` read as data, and files hashed as DVC hashes them.

No DVC is needed: what `dvc.lock` records can be compared with the files of any commit in an
instant, and with no data present.
"""

import hashlib
import json
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.yaml import InvalidYamlError, MergeConflictError, parse_yaml

# Ends the hash of a folder, which is the hash of the list of its files.
FOLDER_SUFFIX = ".dir"


class _Recorded(BaseModel):
    """DVC may record more than is read here."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class LockedFile(_Recorded):
    """A file or folder as `dvc.lock` records it.

    Attributes:
        path: relative to the root of the repository, in POSIX form.
        md5: 32 hexadecimal digits, and `.dir` behind them for a folder. Of what lies elsewhere,
            such as at a URL, the mark by which DVC knows it.
    """

    path: str
    md5: str = Field(validation_alias=AliasChoices("md5", "etag", "checksum"))

    @property
    def is_folder(self) -> bool:
        """Whether the hash is that of a folder."""
        return self.md5.endswith(FOLDER_SUFFIX)


class LockedStage(_Recorded):
    """One stage as it last ran.

    Attributes:
        cmd: the command, or the list of commands.
        deps: what it read, in the order of `dvc.lock`.
        params: what it read of each params file: file, then key, then value.
        outs: what it wrote, metrics and plots among them.
    """

    cmd: str | list[str]
    deps: list[LockedFile] = Field(default_factory=list)
    params: dict[str, dict[str, Any]] = Field(default_factory=dict)
    outs: list[LockedFile] = Field(default_factory=list)


class _Lock(_Recorded):
    """The whole file."""

    stages: dict[str, LockedStage] = Field(default_factory=dict)


def parse_lock(content: bytes, path: str, remedy: str) -> dict[str, LockedStage]:
    """Read a `dvc.lock`.

    Args:
        content: of the file.
        path: of the file, and whose it is; for the error message.
        remedy: what to do if it cannot be read; likewise.

    Returns:
        The stages by name, in the order of the file.

    Raises:
        UserError: it is no lock file; conflict markers of a merge are the usual cause.
    """
    try:
        return _Lock.model_validate(parse_yaml(content)).stages
    except MergeConflictError:
        raise UserError(
            f"{path}: holds conflict markers of a merge: resolve {paths.PARAMS} by hand, then run"
            " `make resolve`, which makes this file and all results anew"
        ) from None
    except (InvalidYamlError, ValidationError) as error:
        # DVC writes the file in place: interrupted meanwhile, it leaves an empty one.
        reason = " ".join(str(error).split()) if content.strip() else "it is empty"
        raise UserError(f"{path}: no lock file of DVC ({reason:.200}): {remedy}") from None


def is_lock(name: str) -> bool:
    """Whether this is the path of a lock file."""
    return posixpath.basename(name) == paths.LOCK.name


def pipeline_beside(lock: str) -> str:
    """The `dvc.yaml` that a lock file belongs to."""
    return posixpath.join(posixpath.dirname(lock), paths.PIPELINE.name)


def pipeline_of(stage: str) -> str:
    """The `dvc.yaml` of a stage, by its address: `train`, or `published/dvc.yaml:report`."""
    return stage.rpartition(":")[0] or str(paths.PIPELINE)


def address_of(pipeline: str, stage: str) -> str:
    """A stage as DVC names it: by its `dvc.yaml` too, unless that is the root's."""
    return f"{pipeline}:{stage}" if "/" in pipeline else stage


def recorded_outs(stages: Mapping[str, LockedStage]) -> dict[str, tuple[str, LockedFile]]:
    """Every output by its path, with the name of the stage that wrote it."""
    return {out.path: (name, out) for name, stage in stages.items() for out in stage.outs}


def stages_behind(path: str, stages: Mapping[str, LockedStage]) -> list[str]:
    """The stages that an output comes of: the one that wrote it, and those before that one."""
    writers = recorded_outs(stages)
    found: list[str] = []
    wanted = [path]
    while wanted:
        name, _ = writers.get(wanted.pop(), ("", None))
        if name and name not in found:
            found.append(name)
            wanted += [dep.path for dep in stages[name].deps]
    return found


def md5_of_bytes(content: bytes) -> str:
    """The hash of a file with this content, as DVC records it."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def md5_of(path: Path) -> str:
    """The hash of a file or folder, as DVC records it.

    The hash of a folder is the MD5 of a JSON list: the MD5 and the relative path of each
    file in it, sorted by path, and `.dir` behind it. Files that a `.dvcignore` leaves out
    must not lie in the folder.

    Raises:
        OSError: there is nothing at `path`, or it cannot be read.
    """
    if not path.is_dir():
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    hashes = {
        file.relative_to(path).as_posix(): md5_of(file)
        for file in path.rglob("*")
        if file.is_file()
    }
    entries = [{"md5": hashes[name], "relpath": name} for name in sorted(hashes)]
    return md5_of_bytes(json.dumps(entries, sort_keys=True).encode()) + FOLDER_SUFFIX


def object_path(cache: Path, md5: str) -> Path:
    """Where DVC's cache keeps the object with this hash; `cache` is usually `.dvc/cache`."""
    return cache / "files" / "md5" / md5[:2] / md5[2:]


def hashes_in_folder(folder_object: Path) -> list[str]:
    """The MD5 of each file that a folder's object in the cache lists.

    None of them if the object is missing or damaged.
    """
    try:
        return [str(entry["md5"]) for entry in json.loads(folder_object.read_bytes())]
    except (OSError, ValueError, KeyError, TypeError):
        return []
