"""What Git knows of a commit or of the workspace, and how a name becomes one of them."""

import os
import posixpath
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from commands.review.dvc import WORKSPACE, repro_command
from commands.review.lockfile import (
    LockedFile,
    LockedStage,
    address_of,
    is_lock,
    parse_lock,
    pipeline_beside,
)
from commands.review.programs import output_of
from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.yaml import InvalidYamlError, parse_yaml

# Where a change is going, if nobody says otherwise.
MAIN_BRANCHES = ("origin/main", "main")
# As in `git diff main...`: not the revision, but where the change branched off from it.
_MERGE_BASE_SUFFIX = "..."


class FirstCommitError(UserError):
    """There is nothing to compare with, since nothing came before."""


def git(*arguments: str, folder: Path = Path()) -> bytes:
    """Standard output of a Git command.

    Raises:
        UserError: Git is missing or fails; the message is what it says.
    """
    return output_of(["git", "-C", str(folder), *arguments])


def git_names(command: str, *arguments: str, folder: Path = Path()) -> list[str]:
    """The names that a Git command lists with `-z`; as the file system has them, UTF-8 or not.

    Raises:
        UserError: as `git`.
    """
    listed = git(command, "-z", *arguments, folder=folder)
    return [name for name in os.fsdecode(listed).split("\0") if name]


@dataclass(frozen=True)
class Revision:
    """A commit, or the workspace as it lies there.

    Attributes:
        commit: the full hash; None for the workspace.
        name: for people, such as `1a2b3c4`. DVC shows the same in its plots.
        root: of the repository.
    """

    commit: str | None
    name: str
    root: Path = Path()

    def read(self, path: str | Path) -> bytes | None:
        """The content of a file, or None where it does not exist."""
        if self.commit is None:
            file = self.root / path
            return file.read_bytes() if file.is_file() else None
        if str(path) not in self.files:
            return None
        return git("cat-file", "blob", f"{self.commit}:{path}", folder=self.root)

    @cached_property
    def files(self) -> frozenset[str]:
        """The files that Git keeps; of the workspace, also those that it would take."""
        if self.commit is None:
            which = ("--cached", "--others", "--exclude-standard")
            names = git_names("ls-files", *which, folder=self.root)
            return frozenset(name for name in names if (self.root / name).is_file())
        tree = ("-r", "--name-only", "--full-tree", self.commit)
        return frozenset(git_names("ls-tree", *tree, folder=self.root))

    def has(self, path: str) -> bool:
        """Whether Git keeps this file, or files in this folder."""
        return path in self.files or any(name.startswith(f"{path}/") for name in self.files)

    @cached_property
    def lock(self) -> dict[str, LockedStage]:
        """The stages of every `dvc.lock`, named and with paths as seen from the root.

        The pipeline of the root comes first. A stage of another is named as DVC addresses
        it, such as `published/dvc.yaml:report`.

        Raises:
            UserError: one is no lock file.
        """
        stages: dict[str, LockedStage] = {}
        for name in sorted(filter(is_lock, self.files), key=lambda name: (name.count("/"), name)):
            pipeline = pipeline_beside(name)
            place = name
            remedy = (
                f"restore it with `git checkout HEAD -- {name}`, or delete it, and run"
                f" `{repro_command(pipeline)}`"
            )
            if self.commit:
                place = f"{name} of {self.name}"
                remedy = "name another revision, or commit a whole one"
            working_folders = self._working_folders(pipeline)
            for stage, locked in parse_lock(self.read(name) or b"", place, remedy).items():
                # A stage of a matrix has what tells it from the others behind an @.
                folder = working_folders.get(stage.partition("@")[0], posixpath.dirname(name))
                stages[address_of(pipeline, stage)] = locked.model_copy(
                    update={
                        "deps": [_seen_from_root(dep, folder) for dep in locked.deps],
                        "outs": [_seen_from_root(out, folder) for out in locked.outs],
                    }
                )
        return stages

    @cached_property
    def params(self) -> dict[str, Any]:
        """The content of `params.yaml`, not validated; empty where there is none.

        Raises:
            UserError: it is no YAML.
        """
        return self.read_yaml(str(paths.PARAMS))

    def _working_folders(self, pipeline: str) -> dict[str, str]:
        """The folder to which the paths of each stage with a `wdir` are relative."""
        stages = self.read_yaml(pipeline).get("stages")
        return {
            name: posixpath.join(posixpath.dirname(pipeline), str(stage["wdir"]))
            for name, stage in (stages.items() if isinstance(stages, dict) else ())
            if isinstance(stage, dict) and "wdir" in stage
        }

    def read_yaml(self, path: str) -> dict[str, Any]:
        """A YAML file as plain data; empty where there is none, or no mapping.

        Raises:
            UserError: it is no YAML.
        """
        try:
            content = parse_yaml(self.read(path) or b"{}")
        except InvalidYamlError as error:
            raise UserError(f"{path} of {self.name}: {error}") from None
        return content if isinstance(content, dict) else {}


def _seen_from_root(file: LockedFile, folder: str) -> LockedFile:
    path = posixpath.normpath(posixpath.join(folder, file.path))
    return file.model_copy(update={"path": path})


def changed_files(base: Revision, head: Revision) -> list[str]:
    """The files in Git that differ between two revisions, sorted."""
    commits = [revision.commit for revision in (base, head) if revision.commit]
    named = git_names("diff", "--name-only", "--no-renames", *commits)
    # New files of the workspace are not known to `git diff` until they are added.
    return sorted({*named, *(base.files ^ head.files)})


def is_clean() -> bool:
    """Whether the workspace is the commit that it comes from."""
    return not git("status", "--porcelain", "--untracked-files=no")


def is_kept_in_git(path: str) -> bool:
    """Whether Git would take the file: what .gitignore names is DVC's to keep."""
    try:
        git("check-ignore", "--quiet", path)
    except UserError:
        return True
    return False


def resolve(name: str) -> Revision:
    """Find a revision by any name that Git or `dvc exp` knows, or the workspace by `workspace`.

    Raises:
        UserError: there is no such commit.
    """
    # Also the first question to Git, which may refuse to answer any.
    if above := git("rev-parse", "--show-prefix").decode().strip():
        raise UserError(
            f"{above} is a folder of a larger repository: give the pipeline a repository of its own"
        )
    if name == WORKSPACE:
        return Revision(None, WORKSPACE)
    try:
        found = git("rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}")
    except UserError:
        found = _experiment(name)
        if not found:
            raise UserError(
                f"{name}: no such commit here: check the name, or fetch it; a shallow clone needs"
                " `git fetch --unshallow`"
            ) from None
    commit = found.decode().strip()
    return Revision(commit, git("rev-parse", "--short=7", commit).decode().strip())


def _experiment(name: str) -> bytes:
    """The commit of an experiment that DVC has run; empty where there is none of that name.

    Raises:
        UserError: there are several, run on different commits.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return b""
    found = git("for-each-ref", "--format=%(refname) %(objectname)", f"refs/exps/*/*/{name}")
    lines = found.decode().splitlines()
    if len(lines) > 1:
        places = " or ".join(line.split()[0] for line in lines)
        raise UserError(f"{name}: {len(lines)} experiments have this name: name {places}")
    return lines[0].split()[1].encode() if lines else b""


def resolve_base(name: str | None, head: Revision) -> tuple[Revision, str]:
    """Find what a change is compared with.

    Args:
        name: a revision; `REV...` for where the head branched off from REV; None for where
            it branched off from the main branch.
        head: the change.

    Returns:
        The revision, and in words how it was chosen.

    Raises:
        FirstCommitError: nothing came before the head.
        UserError: there is no such commit, or nothing in common with it.
    """
    if name and not name.endswith(_MERGE_BASE_SUFFIX):
        return resolve(name), f"{name}, as asked for"
    main = name.removesuffix(_MERGE_BASE_SUFFIX) if name else _main_branch()
    tip = head.commit or resolve("HEAD").commit
    try:
        base = resolve(git("merge-base", main, str(tip)).decode().strip())
    except UserError:
        raise UserError(
            f"{main}: no commit in common with {head.name}: name another base, BASE=REV; a"
            " shallow clone needs `git fetch --unshallow`"
        ) from None
    if name or base.commit != tip:
        return base, f"where the change branched off from {main}"
    if head.commit is None and not is_clean():
        return base, "the last commit: the workspace has changes that are not committed"
    try:
        return resolve(f"{tip}~1"), f"the commit before: {head.name} is part of {main} already"
    except UserError:
        # A shallow clone lacks what came before, and must not pass for a first commit.
        if git("rev-parse", "--is-shallow-repository").strip() == b"true":
            raise
        raise FirstCommitError("nothing to compare with: this is the first commit") from None


def _main_branch() -> str:
    for name in MAIN_BRANCHES:
        try:
            resolve(name)
        except UserError:
            continue
        return name
    raise UserError(
        f"neither {' nor '.join(MAIN_BRANCHES)} is here: name the base: make review BASE=REV"
    )
