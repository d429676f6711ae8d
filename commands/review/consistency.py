"""Whether `dvc.lock` fits code, params and results. Needs no data and runs nothing."""

import posixpath
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from commands.review import dvc
from commands.review.lockfile import LockedStage, md5_of_bytes, pipeline_of, recorded_outs
from commands.review.revisions import Revision, git, is_kept_in_git, resolve
from commands.review.wording import listed
from workflow.core import paths
from workflow.core.errors import UserError


@dataclass(frozen=True)
class Inconsistency:
    """Something in which `dvc.lock` and the workspace differ.

    Attributes:
        what: differs, in words that follow the names of the stages.
        stages: their addresses.
        param: the name of the param, if one has changed.
    """

    what: str
    stages: list[str]
    param: str | None = None

    def __str__(self) -> str:
        return f"stage {listed(self.stages)}: {self.what}"

    @property
    def pipelines(self) -> set[str]:
        """The `dvc.yaml` of each stage."""
        return set(map(pipeline_of, self.stages))


def inconsistencies(workspace: Revision) -> list[Inconsistency]:
    """Everything in which `dvc.lock` differs from code and params, with the stages concerned.

    `dvc status` knows which code, params and commands have changed. It says nothing of stages
    that are frozen, nor of what is declared and not recorded, or recorded and not declared. And
    results that are not in Git may be absent or of another commit; whether one stage read what
    another wrote is told from `dvc.lock` alone.
    """
    lock, outs = workspace.lock, recorded_outs(workspace.lock)
    found: dict[tuple[str, str | None], list[str]] = {}

    def note(stage: str, what: str, param: str | None = None) -> None:
        found.setdefault((what, param), []).append(stage)

    status, declared = dvc.workspace_state()
    for stage in declared:
        if stage not in lock:
            note(stage, f"is in no dvc.lock yet: run `{dvc.repro_command(pipeline_of(stage))}`")
    for stage, changes in status.items():
        # Of a stage that has never run, DVC says that all it depends on is modified.
        for change in changes if stage in lock else ():
            if isinstance(change, str):  # such as "changed command"
                note(stage, f"{change} since dvc.lock was written")
                continue
            for path, state in change.get("changed deps", {}).items():
                if isinstance(state, dict):  # a file of params
                    for name, how in state.items():
                        note(stage, f"param {name} is {how} since dvc.lock was written", name)
                elif path not in outs or workspace.has(path):
                    note(stage, f"dep {path} is {state} since dvc.lock was written")
    for stage, locked in lock.items():
        for dep in locked.deps:
            writer, out = outs.get(dep.path, ("", dep))
            if out.md5 != dep.md5:
                note(stage, f"another {dep.path} is recorded than stage {writer} wrote")
    for stage in sorted(declared):
        if declared[stage].frozen:
            note(stage, "is frozen, so that DVC never runs it: delete `frozen: true` in dvc.yaml")
    for stage in sorted(lock.keys() - declared.keys()):
        note(stage, "is in dvc.lock, but no longer in dvc.yaml: delete it there, and its results")
    for stage in (stage for stage in lock if stage in declared):
        recorded = _recorded_items(lock[stage])
        for item in sorted(declared[stage].items - recorded):
            note(stage, f"{item} is not in dvc.lock")
        for item in sorted(recorded - declared[stage].items):
            repro = dvc.repro_command(stage, "--force")
            note(stage, f"{item} is in dvc.lock, but not in dvc.yaml: `{repro}`")
    return [Inconsistency(what, stages, param) for (what, param), stages in found.items()]


def _recorded_items(stage: LockedStage) -> set[str]:
    """What a stage read and wrote by `dvc.lock`, as `DeclaredStage.items` names it."""
    return {
        *(f"dep {dep.path}" for dep in stage.deps),
        *(f"out {out.path}" for out in stage.outs),
        *(f"param {key} of {file}" for file, params in stage.params.items() for key in params),
    }


def mismatched_results(revision: Revision) -> list[str]:
    """Results in Git that are not those that `dvc.lock` records; one line each."""
    lines = []
    for path, (stage, out) in recorded_outs(revision.lock).items():
        is_link = revision.commit is None and (revision.root / path).is_symlink()
        if is_link and is_kept_in_git(path):
            lines.append(f"{path}: is a link, of which Git keeps no content: put the file there")
            continue
        content = revision.read(path) if path in revision.files else None
        if content is not None and md5_of_bytes(content) != out.md5:
            lines.append(
                f"{path}: is not what stage {stage} wrote: its MD5 is {md5_of_bytes(content)},"
                f" dvc.lock records {out.md5}"
            )
    for path, pipeline in sorted(_unwritten_results(revision).items()):
        lines.append(
            f"{path}: {pipeline} shows it as a result, but no stage writes it: declare it as a"
            " metric or plot of the stage that does"
        )
    for path, stage in missing_results(revision).items():
        lines.append(
            f"{path}: stage {stage} wrote it, but it is not there: {restore_hint(path, stage)}"
        )
    return lines


def _unwritten_results(revision: Revision) -> dict[str, str]:
    """What is shown as a metric or a plot, lies in Git, and is no stage's: its `dvc.yaml`."""
    outs = recorded_outs(revision.lock)
    shown = {str(paths.PREDICTIONS): str(paths.PIPELINE)} if revision.lock else {}
    for pipeline in filter(lambda name: posixpath.basename(name) == "dvc.yaml", revision.files):
        folder = posixpath.dirname(pipeline)
        for name in _shown_by(revision.read_yaml(pipeline)):
            path = posixpath.normpath(posixpath.join(folder, name))
            inside = [file for file in revision.files if file.startswith(f"{path}/")]
            shown |= dict.fromkeys([path, *inside], pipeline)
    return {
        path: pipeline
        for path, pipeline in shown.items()
        if path in revision.files and not any(path == o or path.startswith(f"{o}/") for o in outs)
    }


def _shown_by(pipeline: dict[str, Any]) -> set[str]:
    """The files that a `dvc.yaml` names as metrics and plots outside of its stages."""
    found: set[str] = set()
    for section in ("metrics", "plots"):
        items = pipeline.get(section) or []
        for item in items if isinstance(items, list) else [items]:
            named = item if isinstance(item, dict) else {item: None}
            for name, options in named.items():
                found.add(str(name))
                for axis in ("x", "y"):
                    fields = (options or {}).get(axis) if isinstance(options, dict) else None
                    found |= set(map(str, fields)) if isinstance(fields, dict) else set()
    return found


def missing_results(revision: Revision) -> dict[str, str]:
    """What `dvc.lock` records, Git would keep and the revision lacks: the stage by path."""
    return {
        path: stage
        for path, (stage, _) in recorded_outs(revision.lock).items()
        if not revision.has(path) and is_kept_in_git(path)
    }


def restore_hint(path: str, stage: str) -> str:
    """What to do where the workspace lacks a result that Git keeps."""
    remedy = f"run `{dvc.repro_command(stage)}`"
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
    """Where DVC fails because a result is missing, say which; DVC itself does not."""
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
            raise UserError(f"{path} is missing: {restore_hint(path, stage)}")
        raise UserError(
            f"{path} is missing in {revision.name}, whose stage {stage} wrote it: commit it there,"
            " or name other revisions (BASE=REV, HEAD=REV)"
        )
