"""Whether running the pipeline on a clean copy of a commit gives what is committed."""

import csv
import io
import json
import os
import shutil
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field, ValidationError
from ruamel.yaml import YAML

from commands.review import dvc
from commands.review.lockfile import (
    LockedFile,
    address_of,
    is_lock,
    md5_of,
    md5_of_bytes,
    pipeline_beside,
    pipeline_of,
    recorded_outs,
)
from commands.review.programs import environment
from commands.review.revisions import Revision, git, git_names, resolve
from commands.review.wording import listed
from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.files import remove, write_json, written_whole
from workflow.core.validation import Strict
from workflow.core.yaml import parse_yaml, read_yaml

# What came of it last.
RESULT = Path("review/reproduction.json")
# What DVC keeps beside the files that Git has, should a commit hold it all the same.
_STORES = (".dvc/cache", ".dvc/tmp", ".dvc/config.local")
# The files that DVC itself reads.
_OF_DVC = ("dvc.yaml", "dvc.lock", "params.yaml", ".dvcignore", ".gitignore")
# All of the environment that the stages of a clean copy are given: where programs and files are,
# how to reach the network, and with which credentials. What else a shell has set is no part of a
# commit.
_PASSED_ON = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TMPDIR", "DATA_SOURCE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "CI"),
)
_PASSED_ON_PREFIXES = ("LC_", "AWS_", "AZURE_", "GOOGLE_", "OSS_")


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
        others: the stages of other pipelines than the root's that were run, too.
        every_stage_ran: whether each of them was run, so that nothing came from a run cache.
        outputs: how many outputs were compared.
        lock_is_same: whether `dvc.lock` came out byte for byte.
        differences: the outputs that did not.
        failure: why it could not be run to its end, in which case nothing was compared.
    """

    commit: str
    others: list[str]
    every_stage_ran: bool
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
            lines.append(f"{paths.LOCK}: not the one that running the pipeline writes")
        return lines


def write_result(result: Reproduction) -> None:
    """Keep what came of it, for reviews of the same commit."""
    with written_whole(RESULT) as partial:
        write_json(partial, result.model_dump())


def last_result() -> Reproduction | None:
    """What came of it last; None where it has not been tried, or the file is damaged.

    One that came with a commit is whoever's; a run here leaves it to nobody to write.
    """
    if str(RESULT) in resolve("HEAD").files:
        return None
    try:
        return Reproduction.model_validate_json(RESULT.read_bytes())
    except (OSError, ValidationError):
        return None


def reproduce(
    head: Revision, others: Collection[str] = (), run_cache: bool = False
) -> Reproduction:
    """Run the pipeline on a clean copy of a commit, and compare.

    Every output is deleted first, from the copy and from its `dvc.lock`, by which DVC would
    otherwise bring it back. So each has to be made again. The copy has a cache of its own, which
    is empty: whoever may write this repository's could have put anything there, `dvc commit` alone
    records what no run has made. What comes out is hashed here, whatever DVC has recorded of it.

    Args:
        head: a commit.
        others: stages of other pipelines that are run beside those of the root's. What the rest of
            those pipelines gave is taken from Git, unless DVC finds it out of date.
        run_cache: share the cache of this repository, and let a stage not run that has run on the
            same inputs, by what the run cache says. It is quick, and proves little.

    Raises:
        UserError: a stage fails.
    """
    with tempfile.TemporaryDirectory(prefix="reproduce-") as folder:
        copy = Path(folder, "copy")
        # The person's own hooks, of which one may fail, have no part in it.
        no_hooks = ("--config", "core.hooksPath=/dev/null")
        git("clone", "--quiet", "--shared", "--no-checkout", *no_hooks, str(Path.cwd()), str(copy))
        git("checkout", "--quiet", "--detach", str(head.commit), folder=copy)
        _remove_strays(copy)
        cache = dvc.cache_folder().resolve()
        cache.mkdir(parents=True, exist_ok=True)
        # A link, since DVC's own setting takes no path with letters beyond ASCII.
        shared = copy / ".dvc/cache"
        shared.symlink_to(cache, target_is_directory=True)
        # Whatever the commit names, which might be relative to where it lies.
        (copy / ".dvc/config.local").write_text("[cache]\n    dir = cache\n", encoding="utf-8")
        wanted = {*filter(_in_root_pipeline, head.lock), *others}
        outs = _outs(head, bool(others))
        _remove_undeclared(copy, head, outs)
        # No stage makes what `dvc add` and `dvc import` keep. Where it cannot be had, `dvc repro`
        # says so.
        if sources := _kept_by_dvc(head):
            with suppress(UserError):
                dvc.output("pull", *sources, folder=copy)
            _require_as_recorded(sources, copy)
        if not run_cache:
            shared.unlink()
        for path, (stage, _) in outs.items():
            if stage in wanted:
                remove(_inside(copy, path))
        for lock in filter(is_lock, head.files):
            _forget_results(_inside(copy, lock), pipeline_beside(lock), wanted)
        options = ["--all-pipelines"] if others else []
        options += [] if run_cache else ["--no-run-cache"]
        if not dvc.shown("repro", *options, folder=copy, variables=_variables()):
            # DVC never runs a frozen stage, and says of the next one that its dep is missing.
            frozen = _frozen_stages(copy / paths.PIPELINE)
            remedy = (
                f"delete `frozen: true` of {listed(frozen)} in {paths.PIPELINE}"
                if frozen
                else "mend the stage that it names"
            )
            raise UserError(
                f"`dvc repro` fails on a clean copy of {head.name}: {remedy}, and commit"
            )
        again = Revision(None, "the copy", copy)
        now = _outs(again, bool(others))
        locks = filter(is_lock, again.files)
        lock_is_same = all(again.read(name) == head.read(name) for name in locks)
        differences = []
        for path in sorted(outs.keys() | now.keys()):
            made = md5_of(copy / path) if path in now and (copy / path).exists() else None
            committed = head.read(path)
            recorded = outs[path][1].md5 if path in outs else None
            if made == recorded and (committed is None or md5_of_bytes(committed) == made):
                continue
            stage = (now.get(path) or outs[path])[0]
            source = "the code gives" if not run_cache else "DVC's run cache has"
            detail = _describe(path, committed, copy / path, recorded, made, source)
            differences.append(OutputDifference(stage=stage, path=path, detail=detail))
        if not run_cache:
            _keep_objects(shared, cache)
    return Reproduction(
        commit=str(head.commit),
        others=sorted(others),
        every_stage_ran=not run_cache,
        outputs=sum(stage in wanted for stage, _ in (outs | now).values()),
        lock_is_same=lock_is_same,
        differences=differences,
    )


def _frozen_stages(pipeline: Path) -> list[str]:
    stages = read_yaml(pipeline).get("stages", {})
    return [name for name, stage in stages.items() if stage.get("frozen")]


def _inside(copy: Path, path: str) -> Path:
    """A place in the copy.

    Raises:
        UserError: `dvc.lock`, or a link, leads out of it.
    """
    place = copy / path
    if place.is_symlink() or not place.parent.resolve().is_relative_to(copy.resolve()):
        raise UserError(
            f"{path}: dvc.lock names it as a result, but it is a link or leads out of the"
            " repository: take it out of there"
        )
    return place


def _remove_undeclared(copy: Path, head: Revision, outs: Collection[str]) -> None:
    """Remove what no stage declares, so that none can read it.

    It might be a module that Python takes in place of a declared one, or a checkpoint that training
    would go on from.
    """
    declared = dvc.declared_deps(copy) | set(outs)
    for pipeline in (name for name in head.files if PurePosixPath(name).name == "dvc.yaml"):
        for item in head.read_yaml(pipeline).get("vars") or []:
            if isinstance(item, str):  # a file, and after a colon the keys that are meant
                folder = PurePosixPath(pipeline).parent
                declared.add((folder / item.partition(":")[0]).as_posix())
    for name in head.files:
        if name.startswith(".dvc/") or PurePosixPath(name).name in _OF_DVC or name.endswith(".dvc"):
            continue
        if not any(name == path or name.startswith(f"{path}/") for path in declared):
            remove(copy / name)


def _remove_strays(copy: Path) -> None:
    """Remove what a commit can hold although Git was told to ignore it.

    No diff of code shows it, but a stage could read it: compiled modules, which Python prefers to
    their source, and a cache or settings of DVC.
    """
    for name in git_names("ls-files", "--cached", "--ignored", "--exclude-standard", folder=copy):
        remove(copy / name)
    for folder in list(copy.rglob("__pycache__")):
        remove(folder)
    for name in _STORES:
        remove(copy / name)


def _variables() -> dict[str, str]:
    """What the stages of the copy are given of the environment."""
    return {
        name: value
        for name, value in environment().items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }


def _require_as_recorded(sources: dict[str, str], copy: Path) -> None:
    """See that what DVC has brought is what its hash says; DVC itself does not look.

    Raises:
        UserError: it is not.
    """
    for path, recorded in sources.items():
        if (copy / path).exists() and md5_of(copy / path) != recorded:
            raise UserError(
                f"{path}: DVC's cache holds other bytes than dvc.lock records: run `make verify`,"
                " which says how to mend the cache"
            )


def _keep_objects(private: Path, shared: Path) -> None:
    """Give this repository what the copy has made and it lacks, by its hash.

    No entry of the run cache is taken along.
    """
    for file in private.glob("files/md5/??/*"):
        target = shared / file.relative_to(private)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(target) as partial:
                shutil.move(file, partial)
                os.chmod(partial, 0o444)  # noqa: PTH101  # as DVC protects its objects


def _kept_by_dvc(head: Revision) -> dict[str, str]:
    """What stages read, no stage writes and Git does not keep either: its MD5 by path."""
    outs = recorded_outs(head.lock)
    read = {dep.path: dep.md5 for stage in head.lock.values() for dep in stage.deps}
    return {
        path: read[path]
        for path in sorted(read.keys() - outs.keys())
        if not path.startswith(("/", "../")) and "://" not in path and not head.has(path)
    }


def _forget_results(lock: Path, pipeline: str, stages: Collection[str]) -> None:
    """Keep of these stages nothing but the names, so that they are written in the same order."""
    content = parse_yaml(lock.read_bytes())
    recorded = content.get("stages") or {}
    forgotten = {name for name in recorded if address_of(pipeline, name) in stages}
    if forgotten:
        content["stages"] = {
            name: {"cmd": ""} if name in forgotten else stage for name, stage in recorded.items()
        }
        YAML().dump(content, lock)


def _outs(revision: Revision, all_pipelines: bool) -> dict[str, tuple[str, LockedFile]]:
    """The recorded outputs of the root's pipeline, or of all."""
    stages = revision.lock
    return recorded_outs(
        stages
        if all_pipelines
        else {name: stage for name, stage in stages.items() if _in_root_pipeline(name)}
    )


def stages_of_others(head: Revision, base: Revision | None = None) -> set[str]:
    """The stages of other pipelines than the root's, less those recorded alike in a base."""
    known = base.lock if base else {}
    return {
        name
        for name, stage in head.lock.items()
        if not _in_root_pipeline(name) and known.get(name) != stage
    }


def _in_root_pipeline(stage: str) -> bool:
    return pipeline_of(stage) == str(paths.PIPELINE)


def _describe(
    path: str,
    committed: bytes | None,
    made: Path,
    recorded: str | None,
    md5: str | None,
    source: str,
) -> str:
    """By how much an output differs from the committed one, in words.

    Args:
        path: of the output.
        committed: its content, where Git keeps it.
        made: what has been made now.
        recorded: the MD5 in the committed `dvc.lock`.
        md5: of what has been made.
        source: whom it comes from, such as `the code gives`.
    """
    if md5 is None:
        return "is in dvc.lock, but no stage writes it"
    if committed is None:
        return f"MD5 {md5} instead of {recorded}" if recorded else "is not in dvc.lock"
    new = made.read_bytes()
    if committed == new:
        return f"dvc.lock records the MD5 {recorded} instead of {md5}"
    try:
        if path.endswith(".json"):
            old_values, new_values = flat(json.loads(committed)), flat(json.loads(new))
            differing = [
                f"{key} is {old_values.get(key)}, {source} {new_values.get(key)}"
                for key in sorted(old_values.keys() | new_values.keys())
                if old_values.get(key) != new_values.get(key)
            ]
            return listed(differing, "; ") or "the same values, written differently"
        if path.endswith(".csv"):
            old_rows, new_rows = (
                list(csv.reader(io.StringIO(text.decode()))) for text in (committed, new)
            )
            count = sum(a != b for a, b in zip(old_rows, new_rows, strict=False))
            count += abs(len(old_rows) - len(new_rows))
            return f"{count} of {max(len(old_rows), len(new_rows)) - 1} rows differ"
    except (ValueError, RecursionError, csv.Error):
        pass
    return f"{len(committed)} bytes in Git, {source} other {len(new)} bytes"


def flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The leaves of nested dicts and lists, with dots between keys and places."""
    if isinstance(tree, list):
        tree = dict(enumerate(tree))
    if not isinstance(tree, dict):
        return {prefix.rstrip("."): tree}
    return {k: v for key, item in tree.items() for k, v in flat(item, f"{prefix}{key}.").items()}
