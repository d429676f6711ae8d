"""Resolve what a merge has left of results: make them anew, from params resolved by people.

Both sides of a conflict in `dvc.lock`, a metric or a plot are wrong: neither is what the merged
code and params give. Running gives it, and what either side has run before is not run again.
"""

import argparse
from pathlib import Path

from ruamel.yaml import YAML

from commands import check_params
from commands.review import dvc
from commands.review.lockfile import is_lock, recorded_outs
from commands.review.revisions import Revision, git, git_names, is_kept_in_git, resolve
from workflow.core.errors import UserError
from workflow.core.files import remove, written_whole
from workflow.core.progress import say
from workflow.core.yaml import parse_yaml

# What Git calls the other side while it merges, rebases or picks.
_OTHER_SIDES = ("MERGE_HEAD", "REBASE_HEAD", "CHERRY_PICK_HEAD")
_OURS, _THEIRS = 2, 3


def main(arguments: list[str]) -> int:
    """Resolve all results; the merge is left to be looked at and committed.

    Raises:
        UserError: files that people have to resolve are not yet, or a stage fails.
    """
    parser = argparse.ArgumentParser(prog="python -m commands resolve", description=__doc__)
    parser.parse_args(arguments)
    unmerged = _unmerged()
    if not unmerged:
        say("resolve: no merge has left a conflict here")
        return 0
    results = _results()
    by_people = sorted(name for name in unmerged if name not in results and not is_lock(name))
    if by_people:
        raise UserError(
            f"{', '.join(by_people)}: no results of a run: resolve these by hand, `git add` them,"
            " and run `make resolve` again"
        )
    for name, sides in unmerged.items():
        _settle(Path(name), sides)
    check_params.main([])
    if not dvc.shown("repro", "--all-pipelines"):
        raise UserError("`dvc repro` fails: mend the stage that it names, and run it again")
    now = Revision(None, dvc.WORKSPACE)
    made = {path for path in recorded_outs(now.lock) if is_kept_in_git(path)}
    git("add", "--", *sorted(path for path in made if Path(path).exists()))
    git("add", "--all", "--", *unmerged, *filter(is_lock, now.files))
    say(
        f"resolve: {len(unmerged)} conflicts gave way to results of the merged code and params; see"
        " `git diff --cached`, and `git commit`"
    )
    return 0


def _unmerged() -> dict[str, set[int]]:
    """The files in conflict, and which sides have them."""
    found: dict[str, set[int]] = {}
    for entry in git_names("ls-files", "--unmerged"):
        about, _, name = entry.partition("\t")
        found.setdefault(name, set()).add(int(about.split()[2]))
    return found


def _results() -> set[str]:
    """What stages have written on either side."""
    found = set(recorded_outs(resolve("HEAD").lock))
    for name in _OTHER_SIDES:
        try:
            found |= set(recorded_outs(resolve(name).lock))
        except UserError:  # not what Git is doing
            continue
    return found


def _settle(path: Path, sides: set[int]) -> None:
    """Put one side there until the stage runs; of `dvc.lock`, also what the other has in addition.

    So a stage that only the other side has, such as its recipe with all seeds, is not run again.
    """
    contents = {
        side: git("cat-file", "blob", f":{side}:{path.as_posix()}") for side in sorted(sides - {1})
    }
    if not contents:
        remove(path)
        return
    first = contents.get(_OURS, contents.get(_THEIRS, b""))
    with written_whole(path) as partial:
        if is_lock(path.as_posix()) and len(contents) > 1:
            ours, theirs = (parse_yaml(contents[side]) for side in (_OURS, _THEIRS))
            ours["stages"] = theirs["stages"] | ours["stages"]
            YAML().dump(ours, partial)
        else:
            partial.write_bytes(first)
