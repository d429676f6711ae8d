"""What Git and DVC know of a revision, asked by their commands."""

import argparse
import json
import os
import posixpath
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from workflow.errors import UserError
from workflow.lockfile import (
    LOCK_FILE,
    LockedFile,
    LockedStage,
    object_path,
    parse_lock,
    recorded_outs,
)
from workflow.params import PARAMS_FILE, parse_yaml
from workflow.progress import say

WORKSPACE = "workspace"
# Where a change is going, if nobody says otherwise.
MAIN_BRANCHES = ("origin/main", "main")
# As in `git diff main...`: not the revision, but where the change branched off from it.
_MERGE_BASE_SUFFIX = "..."
_SET_BY_HOOKS = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_WORK_TREE")


class FirstCommitError(UserError):
    """There is nothing to compare with, since nothing came before."""


def git(*arguments: str, folder: Path = Path()) -> bytes:
    """Standard output of a Git command.

    Raises:
        UserError: Git is missing or fails; the message is what it says.
    """
    return _run(["git", "-C", str(folder), *arguments])


def dvc(*arguments: str, folder: Path = Path()) -> bytes:
    """Standard output of a DVC command of this environment.

    Raises:
        UserError: DVC fails; the message is what it says.
    """
    return _run([sys.executable, "-m", "dvc", *arguments], folder)


def dvc_shown(*arguments: str, folder: Path = Path()) -> bool:
    """Run a DVC command that speaks to the person who waits; whether it succeeds.

    Its stages start with this Python.
    """
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=folder, env=_environment(), check=False
    )
    return done.returncode == 0


def dvc_json(*arguments: str) -> Any:
    """What a DVC command with `--json` prints; an empty dict where it prints nothing.

    Raises:
        UserError: DVC fails, or warns that it could not read something and goes on.
    """
    return json.loads(_run([sys.executable, "-m", "dvc", *arguments, "--json"]) or b"{}")


def _environment() -> dict[str, str]:
    # A Git hook sets these for its own repository, whichever folder is meant here.
    environment = {k: v for k, v in os.environ.items() if k not in _SET_BY_HOOKS}
    tools = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', '')}"
    # What runs elsewhere means the same folder.
    source = environment.get("DATA_SOURCE")
    if source and Path(source).is_dir():
        environment["DATA_SOURCE"] = str(Path(source).resolve())
    return environment | {"PATH": tools}


def _run(command: Sequence[str], folder: Path = Path()) -> bytes:
    try:
        done = subprocess.run(
            command, cwd=folder, env=_environment(), capture_output=True, check=False
        )
    except FileNotFoundError:
        raise UserError(f"{command[0]} is not installed: install it, or run `make setup`") from None
    complaint = done.stderr.decode(errors="replace").strip()
    # DVC goes on, with status 0, where a file of metrics or plots cannot be read.
    if done.returncode or "failed to load" in complaint:
        name = " ".join(word for word in command[:6] if word not in (sys.executable, "-m"))
        reason = " ".join((complaint or done.stdout.decode(errors="replace")).split())
        raise UserError(f"`{name}` fails: {reason[-400:] or f'status {done.returncode}'}")
    return done.stdout


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
            names = git("ls-files", "-z", *which, folder=self.root).decode().split("\0")
            return frozenset(name for name in names if name and (self.root / name).is_file())
        tree = ("-r", "-z", "--name-only", "--full-tree", self.commit)
        listed = git("ls-tree", *tree, folder=self.root)
        return frozenset(filter(None, listed.decode().split("\0")))

    @cached_property
    def lock(self) -> dict[str, LockedStage]:
        """The stages of every `dvc.lock`, named and with paths as seen from the root.

        The pipeline of the root comes first. A stage of another is named as DVC addresses
        it, such as `published/dvc.yaml:report`.

        Raises:
            UserError: one is no lock file.
        """
        stages: dict[str, LockedStage] = {}
        locks = [name for name in self.files if posixpath.basename(name) == LOCK_FILE.name]
        for name in sorted(locks, key=lambda name: (name.count("/"), name)):
            folder = posixpath.dirname(name)
            pipeline = posixpath.join(folder, "dvc.yaml")
            text = (self.read(name) or b"").decode(errors="replace")
            whose = self.name if self.commit else ""
            for stage, locked in parse_lock(text, name, whose).items():
                start = posixpath.join(folder, self._working_folder(pipeline, stage))
                address = f"{pipeline}:{stage}" if folder else stage
                stages[address] = locked.model_copy(
                    update={
                        "deps": [_seen_from_root(dep, start) for dep in locked.deps],
                        "outs": [_seen_from_root(out, start) for out in locked.outs],
                    }
                )
        return stages

    @cached_property
    def params(self) -> dict[str, Any]:
        """The content of `params.yaml`, not validated; empty where there is none.

        Raises:
            UserError: it is no YAML.
        """
        try:
            content = parse_yaml(self.read(PARAMS_FILE) or b"{}")
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{PARAMS_FILE} of {self.name}: not valid YAML: {reason}") from None
        return content if isinstance(content, dict) else {}

    def _working_folder(self, pipeline: str, stage: str) -> str:
        """The `wdir` of a stage, to which its paths are relative; `dvc.lock` lacks it."""
        try:
            content = parse_yaml(self.read(pipeline) or b"{}")
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"{pipeline} of {self.name}: not valid YAML: {reason}") from None
        # A stage of a matrix has what tells it from the others behind an @.
        for key in ("stages", stage.partition("@")[0], "wdir"):
            content = content.get(key) if isinstance(content, dict) else None
        return str(content or ".")


def _seen_from_root(file: LockedFile, folder: str) -> LockedFile:
    path = posixpath.normpath(posixpath.join(folder, file.path))
    return file.model_copy(update={"path": path})


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
        commit = git("rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}")
    except UserError:
        commit = _experiment(name)
        if not commit:
            raise UserError(
                f"{name}: no such commit here: check the name, or fetch it; a shallow clone needs"
                " `git fetch --unshallow`"
            ) from None
    return Revision(commit.decode().strip(), _short(commit.decode().strip()))


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
        raise UserError(f"{name}: {len(lines)} experiments are called so: name {places}")
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
    if head.commit is None and git("status", "--porcelain", "--untracked-files=no"):
        return base, "the last commit: the workspace has changes that are not committed"
    try:
        return resolve(f"{tip}~1"), f"the commit before: {head.name} is part of {main} already"
    except UserError:
        # A shallow clone lacks what came before, and must not pass for a first commit.
        if git("rev-parse", "--is-shallow-repository").strip() == b"true":
            raise
        raise FirstCommitError("nothing to compare with: this is the first commit") from None


def revision_arguments(description: str | None) -> tuple[Revision, Revision, str]:
    """Read `--base` and `--head` from the command line.

    Where there is nothing to compare with, the command ends with a line that says so: all is
    well, status 0.

    Args:
        description: of the command; its first line is shown.

    Returns:
        Base, head, and in words how the base was chosen.

    Raises:
        UserError: there is no such commit.
    """
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument(
        "--base",
        metavar="REV",
        help="what to compare with; REV... for where the head branched off from REV"
        " (default: where it branched off from the main branch)",
    )
    parser.add_argument(
        "--head", default=WORKSPACE, metavar="REV", help="the change (default: the workspace)"
    )
    arguments = parser.parse_args()
    head = resolve(arguments.head)
    try:
        base, reason = resolve_base(arguments.base or None, head)
    except FirstCommitError as error:
        say(str(error))
        parser.exit()
    if base.commit == head.commit:
        say(f"nothing to compare: base and head are both {head.name}")
        parser.exit()
    return base, head, reason


def metrics_difference(base: Revision, head: Revision) -> dict[str, dict[str, dict[str, Any]]]:
    """All metrics of two revisions: file, then metric, then `old`, `new` and `diff`.

    Raises:
        UserError: one is missing or cannot be read. DVC would say so, but not which.
    """
    for revision in (base, head):
        for path in recorded_outs(revision.lock):
            content = revision.read(path) if path.endswith(".json") else None
            try:
                json.loads(content or b"{}")
            except ValueError as error:
                raise UserError(
                    f"{path} of {revision.name}: not valid JSON ({error}): run `dvc repro`"
                ) from None
    with missing_results_named(base, head):
        difference: dict[str, dict[str, dict[str, Any]]] = dvc_json(
            "metrics", "diff", "--all", *dvc_range(base, head)
        )
    return difference


def dvc_range(base: Revision, head: Revision) -> list[str]:
    """Two revisions as arguments of a `dvc … diff`, for which the workspace has no name."""
    return [base.name, *([] if head.commit is None else [head.name])]


def is_kept_in_git(path: str) -> bool:
    """Whether Git would take the file: what .gitignore names is DVC's to keep."""
    try:
        git("check-ignore", "--quiet", path)
    except UserError:
        return True
    return False


def missing_results(revision: Revision) -> dict[str, str]:
    """What `dvc.lock` records, Git would keep and the revision lacks: the stage by path."""
    return {
        path: stage
        for path, (stage, _) in recorded_outs(revision.lock).items()
        if path not in revision.files and is_kept_in_git(path)
    }


def way_back(path: str, stage: str) -> str:
    """What to do where the workspace lacks a result that Git keeps."""
    remedy = f"run `dvc repro {shlex.quote(stage)}`"
    source = ""
    if path not in resolve("HEAD").files:
        deleted = git("log", "-1", "--format=%h", "--diff-filter=D", "--", path).decode().strip()
        if not deleted:
            return f"{remedy}, and commit it"
        source = f"--source={deleted}~1 "
    restore = f"git restore {source}--staged --worktree {shlex.quote(path)}"
    return f"{remedy}, or take the committed one back with `{restore}`"


@contextmanager
def missing_results_named(*revisions: Revision) -> Iterator[None]:
    """Where DVC fails for want of a result, name it; DVC would say no more than that one is."""
    try:
        yield
    except UserError:
        for revision in revisions:
            require_results(revision)
        raise


def require_results(revision: Revision) -> None:
    """See that all results are there.

    Before a stage runs DVC deletes what it gave last, which stays away if the stage fails.

    Raises:
        UserError: `dvc.lock` records a result, Git would keep it, and it is not there.
    """
    for path, stage in missing_results(revision).items():
        if revision.commit is None:
            raise UserError(f"{path} is missing: {way_back(path, stage)}")
        raise UserError(
            f"{path} is missing in {revision.name}, whose stage {stage} wrote it: commit it there,"
            " or name other revisions (BASE=REV, HEAD=REV)"
        )


def cache_folder() -> Path:
    """Where DVC keeps its cache, by DVC's own word."""
    return Path(dvc("cache", "dir").decode().strip())


def cached_object(md5: str) -> Path | None:
    """The object of DVC's cache with this hash, or None where the cache lacks it."""
    path = object_path(cache_folder(), md5)
    return path if path.is_file() else None


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


def _short(commit: str) -> str:
    return git("rev-parse", "--short=7", commit).decode().strip()
