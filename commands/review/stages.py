"""What became of each stage between two revisions, told from their `dvc.lock`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from commands.review.lockfile import LockedStage, recorded_outs
from commands.review.revisions import Revision, changed_files
from commands.review.wording import listed
from workflow.core import paths


@dataclass(frozen=True)
class Reason:
    """Something that a stage reads or does and that has changed.

    Attributes:
        kind: `command`, `dep` or `param`; or what became of the stage as a whole.
        name: of the dep or the param.
        note: what else there is to say of it.
    """

    kind: str
    name: str = ""
    note: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip() + self.note


@dataclass(frozen=True)
class StageChange:
    """A stage: why it ran again, and which of its outputs came out differently."""

    name: str
    reasons: list[str]
    outs: list[str]


def stage_changes(base: Revision, head: Revision) -> list[StageChange]:
    """What became of each stage; those of one matrix that ran for the same reasons together."""
    files = changed_files(base, head)
    before = recorded_outs(base.lock)
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, reasons in reasons_to_run(base.lock, head.lock).items():
        texts = tuple(str(_with_files(reason, files)) for reason in reasons)
        alike.setdefault((name.partition("@")[0], texts), []).append(name)
    return [
        StageChange(
            names[0] if len(names) == 1 else f"{stem}@… ({len(names)} stages)",
            list(texts),
            [
                out.path
                for name in names
                for out in (head.lock[name].outs if name in head.lock else ())
                if out.path not in before or before[out.path][1].md5 != out.md5
            ],
        )
        for (stem, texts), names in alike.items()
    ]


def _with_files(reason: Reason, changed: list[str]) -> Reason:
    """The reason with the names of the files that have changed, if it is a folder of code."""
    folder = f"{reason.name}/"
    inside = [name.removeprefix(folder) for name in changed if name.startswith(folder)]
    if reason.kind != "dep" or not inside:
        return reason
    return replace(reason, note=f"{reason.note}: {listed(inside)}")


def reasons_to_run(
    base: Mapping[str, LockedStage], head: Mapping[str, LockedStage]
) -> dict[str, list[Reason]]:
    """Why each stage ran again between two revisions, by the stages that each has recorded.

    Returns:
        The reasons by stage, in the order of the head; empty for a stage that did not run.
    """
    reasons: dict[str, list[Reason]] = {}
    for name in [*head, *(name for name in base if name not in head)]:
        if name not in base or name not in head:
            reasons[name] = [Reason("new stage" if name in head else "stage removed")]
            continue
        before, after = base[name], head[name]
        reasons[name] = [
            *([_command(after)] if before.cmd != after.cmd else []),
            *_changed("dep", _deps(before), _deps(after)),
            *_changed("param", _params(before), _params(after)),
        ]
    return reasons


def _command(stage: LockedStage) -> Reason:
    """A command is code, too: whoever reads the report sees what runs now."""
    commands = [stage.cmd] if isinstance(stage.cmd, str) else stage.cmd
    return Reason("command", note=f", now `{' && '.join(commands)}`")


def _deps(stage: LockedStage) -> dict[str, Any]:
    return {dep.path: dep.md5 for dep in stage.deps}


def _params(stage: LockedStage) -> dict[str, Any]:
    return {
        param_name(file, key): value
        for file, params in stage.params.items()
        for key, value in params.items()
    }


def param_name(file: str, key: str) -> str:
    """A param as the reports call it: with its file, unless that is `params.yaml`."""
    return key if file == str(paths.PARAMS) else f"{file}: {key}"


def _changed(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Reason]:
    """What differs, sorted by name."""
    return [
        Reason(kind, name, " (new)" if name not in old else " (no longer read)" * (name not in new))
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
