"""Whether what is committed is what the code gives.

Three questions, from cheap to dear: does `dvc.lock` speak of this code and these params,
are the committed outputs the ones that `dvc.lock` records, and does running the pipeline
give them again, byte for byte. The first two need no data.
"""

import csv
import io
import json
import os
import shlex
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from dvc.dependency.param import ParamsDependency  # type: ignore[import-untyped]
from dvc.repo import Repo  # type: ignore[import-untyped]
from pydantic import Field

from commands.revisions import (
    Revision,
    cache_folder,
    dvc,
    dvc_json,
    dvc_shown,
    git,
    is_kept_in_git,
    missing_results,
    way_back,
)
from workflow.errors import UserError
from workflow.files import remove
from workflow.lockfile import LOCK_FILE, LockedFile, LockedStage, md5_of_bytes, recorded_outs
from workflow.params import Strict, parse_yaml

_SHOWN = 5


class OutputDifference(Strict):
    """An output that running the pipeline did not give again.

    Attributes:
        stage: that writes it.
        path: of the output.
        detail: by how much it differs, in words.
    """

    stage: str
    path: str
    detail: str


class Reproduction(Strict):
    """What came of running the pipeline on a clean copy of a commit.

    Attributes:
        commit: the full hash.
        all_pipelines: whether every `dvc.yaml` was run, not only that of the root.
        outputs: how many outputs were compared.
        lock_is_same: whether `dvc.lock` came out byte for byte.
        differences: the outputs that did not.
        failure: why it could not be run to its end, in which case nothing was compared.
    """

    commit: str
    all_pipelines: bool
    outputs: int = 0
    lock_is_same: bool = False
    differences: list[OutputDifference] = Field(default_factory=list)
    failure: str | None = None

    @property
    def problems(self) -> list[str]:
        """One line for each thing that is not as committed."""
        if self.failure:
            return [self.failure]
        lines = [f"{d.path} (stage {d.stage}): {d.detail}" for d in self.differences]
        if not self.lock_is_same:
            lines.append(f"{LOCK_FILE}: not the one that running the pipeline writes")
        return lines


def stale_stages(head: Revision) -> list[str]:
    """What `dvc.lock` no longer speaks of: one line a culprit, with its stages; needs no data.

    `dvc status` knows which code, params and commands have changed. Results that are no
    matter of Git may be absent or of another commit; whether one stage read what another
    wrote is told from `dvc.lock` alone. So is what a stage declares and `dvc.lock` lacks, or
    the other way about, of which DVC says nothing.

    Args:
        head: the workspace, of which alone DVC can tell.
    """
    outs = recorded_outs(head.lock)
    culprits: dict[str, list[str]] = {}
    status = dvc_json("status")  # says in one line what is no pipeline
    declared, frozen = _declared()
    for stage in (stage for stage in declared if stage not in head.lock):
        pipeline, _, _ = stage.rpartition(":")
        repro = f"dvc repro {shlex.quote(pipeline)}" if pipeline else "dvc repro"
        culprits.setdefault(f"is in no dvc.lock yet: run `{repro}`", []).append(stage)
    for stage, changes in status.items():
        # DVC calls all that a stage depends on modified if it has never run.
        for change in changes if stage in head.lock else ():
            if isinstance(change, str):  # such as "changed command"
                culprits.setdefault(f"{change} since dvc.lock was written", []).append(stage)
                continue
            for kind, items in change.items():
                if kind == "changed outs":
                    continue  # forged_outputs says it better
                for path, state in items.items():
                    if path in outs and path not in head.files and not isinstance(state, dict):
                        continue
                    # The params of a file come as a dict below the file's name.
                    what = "param" if isinstance(state, dict) else "dep"
                    details = state if isinstance(state, dict) else {path: state}
                    for name, how in details.items():
                        line = f"{what} {name} is {how} since dvc.lock was written"
                        culprits.setdefault(line, []).append(stage)
    for stage, locked in head.lock.items():
        for dep in locked.deps:
            if dep.path in outs and outs[dep.path][1].md5 != dep.md5:
                line = f"another {dep.path} is recorded than stage {outs[dep.path][0]} wrote"
                culprits.setdefault(line, []).append(stage)
    for stage in frozen:
        line = "is frozen, so that nobody can tell: delete `frozen: true` in dvc.yaml"
        culprits.setdefault(line, []).append(stage)
    for stage in sorted(head.lock.keys() - declared.keys()):
        line = "dvc.lock still speaks of it, dvc.yaml no more: delete it there, and what it wrote"
        culprits.setdefault(line, []).append(stage)
    for stage in (stage for stage in head.lock if stage in declared):
        recorded = _recorded(head.lock[stage])
        for what in sorted(declared[stage] - recorded):
            culprits.setdefault(f"{what} is not in dvc.lock", []).append(stage)
        for what in sorted(recorded - declared[stage]):
            line = f"{what} is in dvc.lock, but not in dvc.yaml: `dvc repro --force {stage}`"
            culprits.setdefault(line, []).append(stage)
    return [f"stage {listed(stages, ', ')}: {line}" for line, stages in culprits.items()]


def _declared() -> tuple[dict[str, set[str]], list[str]]:
    """What each stage of the workspace declares to read and to write, by its address.

    And the addresses of those that DVC is told not to run, whatever has changed.
    """
    declared, frozen = {}, []
    with Repo() as repo:
        # What `dvc add` and `dvc import` keep, in files of their own, has no command to run.
        for stage in (stage for stage in repo.index.stages if stage.cmd):
            lines = {f"out {os.path.relpath(out.fs_path)}" for out in stage.outs}
            for dep in stage.deps:
                if isinstance(dep, ParamsDependency):
                    # Without keys, all those of the file that were there when the stage ran.
                    keys = dep.params or dep.hash_info.value or ()
                    lines |= {f"param {key} of {dep.def_path}" for key in keys}
                else:
                    lines.add(f"dep {os.path.relpath(dep.fs_path)}")
            declared[stage.addressing] = lines
            if stage.frozen:
                frozen.append(stage.addressing)
    return declared, sorted(frozen)


def _recorded(stage: LockedStage) -> set[str]:
    """The same of a stage in a lock file."""
    return {
        *(f"dep {dep.path}" for dep in stage.deps),
        *(f"out {out.path}" for out in stage.outs),
        *(f"param {key} of {file}" for file, params in stage.params.items() for key in params),
    }


def forged_outputs(head: Revision) -> list[str]:
    """Outputs in Git that are not those that `dvc.lock` records; one line each, no data needed."""
    lines = []
    for path, (stage, out) in recorded_outs(head.lock).items():
        if head.commit is None and (head.root / path).is_symlink() and is_kept_in_git(path):
            lines.append(f"{path}: is a link, of which Git keeps no content: put the file there")
            continue
        content = head.read(path) if path in head.files else None
        if content is not None and md5_of_bytes(content) != out.md5:
            lines.append(
                f"{path}: is not what stage {stage} wrote: its MD5 is {md5_of_bytes(content)},"
                f" dvc.lock records {out.md5}"
            )
    for path, stage in missing_results(head).items():
        lines.append(
            f"{path}: stage {stage} wrote it, but it is not there: {way_back(path, stage)}"
        )
    return lines


def reproduce(head: Revision, all_pipelines: bool = False, run_cache: bool = True) -> Reproduction:
    """Run the pipeline on a clean copy of a commit, and compare.

    Every output is deleted first, and forgotten by `dvc.lock`, by which DVC would otherwise
    bring it back. So each has to be made again: by running its stage, or by DVC's run cache,
    which goes by what a stage reads and not by what `dvc.lock` claims of the result. The cache
    is shared with this repository; its workspace is left alone.

    Args:
        head: a commit.
        all_pipelines: run every `dvc.yaml`, not only that of the root.
        run_cache: let a stage that has run on the same inputs before not run again.

    Raises:
        UserError: a stage fails.
    """
    with tempfile.TemporaryDirectory(prefix="reproduce-") as folder:
        copy = Path(folder, "copy")
        git("clone", "--quiet", "--shared", "--no-checkout", str(Path.cwd()), str(copy))
        git("checkout", "--quiet", "--detach", str(head.commit), folder=copy)
        # A link, since DVC's own setting takes no path with letters beyond ASCII. A fresh clone
        # has no cache yet, and DVC makes none where a link points.
        cache = cache_folder().resolve()
        cache.mkdir(parents=True, exist_ok=True)
        (copy / ".dvc/cache").symlink_to(cache, target_is_directory=True)
        # Whatever the commit names, which might be relative to where it lies.
        (copy / ".dvc/config.local").write_text("[cache]\n    dir = cache\n", encoding="utf-8")
        # What `dvc add` and `dvc import` keep, no stage can make again. Where it cannot be had,
        # `dvc repro` says so.
        if sources := _kept_by_dvc(head):
            with suppress(UserError):
                dvc("pull", *sources, folder=copy)
        outs = _outs(head, all_pipelines)
        for path in outs:
            remove(copy / path)
        for lock in [name for name in head.files if _is_lock(name)]:
            if all_pipelines or lock == str(LOCK_FILE):
                _forget_results(copy / lock)
        options = ["--all-pipelines"] if all_pipelines else []
        options += [] if run_cache else ["--no-run-cache"]
        if not dvc_shown("repro", *options, folder=copy):
            raise UserError(
                f"`dvc repro` fails on a clean copy of {head.name}: mend the stage that it names,"
                " and commit"
            )
        again = Revision(None, "the copy", copy)
        now = _outs(again, all_pipelines)
        locks = filter(_is_lock, again.files)
        lock_is_same = all(again.read(name) == head.read(name) for name in locks)
        differences = []
        for path in sorted(outs.keys() | now.keys()):
            made = now[path][1].md5 if path in now else None
            committed = head.read(path)
            recorded = outs[path][1].md5 if path in outs else None
            if made == recorded and (committed is None or md5_of_bytes(committed) == made):
                continue
            stage = (now.get(path) or outs[path])[0]
            detail = _describe(path, committed, copy / path, recorded, made)
            differences.append(OutputDifference(stage=stage, path=path, detail=detail))
    return Reproduction(
        commit=str(head.commit),
        all_pipelines=all_pipelines,
        outputs=len(outs.keys() | now.keys()),
        lock_is_same=lock_is_same,
        differences=differences,
    )


def _kept_by_dvc(head: Revision) -> list[str]:
    """What stages read and none writes, and Git does not keep either."""
    outs = recorded_outs(head.lock)
    read = {dep.path for stage in head.lock.values() for dep in stage.deps if dep.path not in outs}
    return sorted(
        path
        for path in read
        if not path.startswith(("/", "../"))
        and "://" not in path
        and not any(f"{name}/".startswith(f"{path}/") for name in head.files)
    )


def _is_lock(name: str) -> bool:
    return Path(name).name == LOCK_FILE.name


def _forget_results(lock: Path) -> None:
    """Leave the names of the stages alone, so that they come again in the same order."""
    content = parse_yaml(lock.read_bytes())
    content["stages"] = {name: {"cmd": ""} for name in content.get("stages") or {}}
    lock.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _outs(revision: Revision, all_pipelines: bool) -> dict[str, tuple[str, LockedFile]]:
    """The recorded outputs of the root's pipeline, or of all."""
    return recorded_outs(
        {
            name: stage
            for name, stage in revision.lock.items()
            if all_pipelines or in_root_pipeline(name)
        }
    )


def others_have_changed(base: Revision, head: Revision) -> bool:
    """Whether a `dvc.yaml` other than the root's has another `dvc.lock` in the two revisions."""
    old, new = (
        {name: stage for name, stage in revision.lock.items() if not in_root_pipeline(name)}
        for revision in (base, head)
    )
    return old != new


def in_root_pipeline(stage: str) -> bool:
    """Whether the address of a stage names no other `dvc.yaml`."""
    return ":" not in stage


def stage_changes(
    base: Mapping[str, LockedStage], head: Mapping[str, LockedStage]
) -> dict[str, list[str]]:
    """Why each stage ran again between two revisions: what it reads or does that changed.

    Returns:
        The reasons by stage, in the order of the head; empty for a stage that did not run.
    """
    reasons: dict[str, list[str]] = {}
    for name in [*head, *(name for name in base if name not in head)]:
        if name not in base or name not in head:
            reasons[name] = ["new stage" if name in head else "stage removed"]
            continue
        before, after = base[name], head[name]
        found = ["command"] if before.cmd != after.cmd else []
        old_deps = {dep.path: dep.md5 for dep in before.deps}
        new_deps = {dep.path: dep.md5 for dep in after.deps}
        found += [f"dep {path}{how}" for path, how in _changed(old_deps, new_deps)]
        for file in sorted(before.params.keys() | after.params.keys()):
            old, new = before.params.get(file, {}), after.params.get(file, {})
            found += [f"param {key}{how}" for key, how in _changed(old, new)]
        reasons[name] = found
    return reasons


def changed_outs(
    base: Mapping[str, LockedStage], head: Mapping[str, LockedStage]
) -> dict[str, list[str]]:
    """The outputs of each stage that came out differently."""
    before = recorded_outs(dict(base))
    return {
        name: [
            out.path
            for out in stage.outs
            if out.path not in before or before[out.path][1].md5 != out.md5
        ]
        for name, stage in head.items()
    }


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The keys whose values differ, sorted, and whether they are new or gone."""
    return [
        (key, " (new)" if key not in old else " (no longer read)" if key not in new else "")
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]


def _describe(
    path: str, committed: bytes | None, made: Path, recorded: str | None, md5: str | None
) -> str:
    """By how much an output differs from the committed one, in words."""
    if md5 is None:
        return "is in dvc.lock, but no stage writes it"
    if committed is None:
        return f"MD5 {md5} instead of {recorded}" if recorded else "is not in dvc.lock"
    new = made.read_bytes()
    if committed == new:
        return f"dvc.lock records the MD5 {recorded} instead of {md5}"
    try:
        if path.endswith(".json"):
            old_values, new_values = _flat(json.loads(committed)), _flat(json.loads(new))
            differing = [
                f"{key} is {old_values.get(key)}, the code gives {new_values.get(key)}"
                for key in sorted(old_values.keys() | new_values.keys())
                if old_values.get(key) != new_values.get(key)
            ]
            return listed(differing) or "the same values, written differently"
        if path.endswith(".csv"):
            old_rows, new_rows = (
                list(csv.reader(io.StringIO(text.decode()))) for text in (committed, new)
            )
            count = sum(a != b for a, b in zip(old_rows, new_rows, strict=False))
            count += abs(len(old_rows) - len(new_rows))
            return f"{count} of {max(len(old_rows), len(new_rows)) - 1} rows differ"
    except (ValueError, UnicodeDecodeError):
        pass
    return f"{len(committed)} bytes in Git, other {len(new)} bytes from the code"


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of nested dicts, with dots between the keys."""
    if not isinstance(tree, dict):
        return {prefix.rstrip("."): tree}
    return {k: v for key, item in tree.items() for k, v in _flat(item, f"{prefix}{key}.").items()}


def listed(items: Iterable[str], separator: str = "; ") -> str:
    """The first items, and how many more there are."""
    every = list(items)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return separator.join(every[:_SHOWN]) + more
