"""The workflow files: their schema, a linter for their security, and their own promises."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from debian import program
from imports import own_files_imported
from packaging.specifiers import SpecifierSet
from projects import ROOT, load_yaml

from commands.review.checks import CHECKING

FOLDER = ROOT / ".github/workflows"
FILES = sorted(FOLDER.glob("*.yml"))
RUN_CODE_OF_A_FORK = ("pull-request.yml", "test.yml")


def test_there_are_workflows() -> None:
    assert {file.name for file in FILES} >= {"pull-request.yml", "test.yml", "comment.yml"}


def test_they_fit_the_schema_of_github() -> None:
    command = ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, FILES)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_linter_finds_nothing() -> None:
    command = ["zizmor", "--offline", "--no-progress", str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_actions_are_pinned_by_commit_with_their_version_beside(file: Path) -> None:
    uses = re.findall(r"uses: (.*)", file.read_text(encoding="utf-8"))
    for action in uses:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_nothing_from_outside_is_pasted_into_a_script(file: Path) -> None:
    workflow = load_yaml(file)
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert not [step["run"] for step in steps if "${{" in step.get("run", "")]


@pytest.mark.parametrize("name", RUN_CODE_OF_A_FORK)
def test_what_runs_the_code_of_a_fork_can_write_nothing(name: str) -> None:
    workflow = load_yaml(FOLDER / name)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"] == {"contents": "read"}
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert "secrets." not in text
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")


def test_what_may_comment_runs_no_code_of_a_fork() -> None:
    text = (FOLDER / "comment.yml").read_text(encoding="utf-8")
    assert "actions/checkout" not in text
    steps = load_yaml(FOLDER / "comment.yml")["jobs"]["comment"]["steps"]
    assert not [
        s for s in steps if re.search(r"\b(make|python|sh|bash|source)\b", s.get("run", ""))
    ]


@pytest.mark.parametrize("name", RUN_CODE_OF_A_FORK)
def test_what_ci_runs_are_make_targets(name: str) -> None:
    workflow = load_yaml(FOLDER / name)
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    commands = [step["run"] for step in steps if "run" in step]
    own = [command for command in commands if "GITHUB_STEP_SUMMARY" not in command]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert own
    for command in own:
        words = command.split()
        assert words[0] == "make"
        assert words[1] in targets


def test_every_python_that_is_allowed_is_tested_and_the_oldest_for_each_change() -> None:
    listed = load_yaml(FOLDER / "test.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    pattern = r"\$\{\{ fromJSON\(github\.event_name == '(\w+)' && '(.*?)' \|\| '(.*?)'\) \}\}"
    event, of_changes, of_pushes = re.fullmatch(pattern, listed).groups()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    allowed = SpecifierSet(project["requires-python"])
    every = [f"3.{minor}" for minor in range(40) if f"3.{minor}" in allowed]
    assert json.loads(of_pushes) == every
    assert (event, json.loads(of_changes)) == ("pull_request", every[:1])


FAKE_GH = """#!/bin/sh
# Stands in for GitHub, which no test can reach: answers as its API does, notes what is sent.
call="$*"
case "$call" in *"$FAILING"*) exit 1 ;; esac
printf '%s\\n' "$call" >> "$CALLS"
while [ $# -gt 0 ]; do
  if [ "$1" = --jq ]; then filter=$2; fi
  shift
done
case "$call" in
  *repos/me/it/pulls\\ *) jq -r "$filter" pulls.json ;;
  */pulls/7/files*) jq -r "$filter" files.json ;;
  *--paginate*) jq -r "$filter" comments.json ;;
esac
"""
MARKER = "<!-- review of the pipeline -->"
STALE = {"number": 5, "head": {"sha": "0ld"}}
OPEN = {"number": 7, "head": {"sha": "c0ffee"}}
FOREIGN = [
    {"id": 97, "user": {"login": "someone"}, "body": f"{MARKER}\nNot ours."},
    {"id": 98, "user": {"login": "github-actions[bot]"}, "body": f"Of another: {MARKER}"},
]
OURS = {"id": 99, "user": {"login": "github-actions[bot]"}, "body": f"{MARKER}\n# Review"}


@pytest.fixture(scope="session")
def jq(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """What GitHub's `gh` filters with, and its variables."""
    return program("jq", "jq", tmp_path_factory.mktemp("jq"))


def post(
    jq: tuple[Path, dict[str, str]],
    folder: Path,
    pulls: list[dict],
    comments: list[dict],
    failing: str = "no such call",
    files: list[dict] | None = None,
) -> tuple[int, list[str]]:
    """Run the last step of comment.yml; its status, and the calls of `gh` that came through."""
    steps = load_yaml(FOLDER / "comment.yml")["jobs"]
    script = steps["comment"]["steps"][-1]["run"]
    (folder / "gh").write_text(FAKE_GH, encoding="utf-8")
    (folder / "gh").chmod(0o755)
    (folder / "calls").touch()
    (folder / "pulls.json").write_text(json.dumps(pulls), encoding="utf-8")
    (folder / "files.json").write_text(json.dumps(files or []), encoding="utf-8")
    (folder / "comments.json").write_text(json.dumps(comments), encoding="utf-8")
    (folder / "review").mkdir()
    report = b"# Review \xff of @someone\n" + b"x" * 100_000
    (folder / "review/report.md").write_bytes(report)
    done = subprocess.run(
        ["bash", "-e", "-c", script],
        cwd=folder,
        check=False,
        env=jq[1]
        | {
            "PATH": f"{folder}:/usr/bin:/bin:{jq[0].parent}",
            "CALLS": str(folder / "calls"),
            "FAILING": failing,
            "REPOSITORY": "me/it",
            "OWNER": "fork",
            "BRANCH": "a$(touch owned)b",
            "COMMIT": "c0ffee",
            "RUN": "https://example.org/run",
        },
    )
    return done.returncode, (folder / "calls").read_text(encoding="utf-8").splitlines()


def test_a_change_of_what_reviews_it_is_told_whatever_its_report_says(
    jq: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    moved = {"filename": "aside/old.py", "previous_filename": "commands/reproduce.py"}
    files = [{"filename": "params.yaml"}, {"filename": "Makefile"}, moved]
    status, _ = post(jq, tmp_path, [OPEN], [], files=files)
    assert status == 0
    body = (tmp_path / "body.md").read_text(encoding="utf-8")
    assert body.startswith(f"{MARKER}\n**This change edits what reviews it")
    assert "- `Makefile`\n- `commands/reproduce.py`\n\n# Review" in body
    assert "params.yaml" not in body


def test_the_report_and_the_comment_name_the_same_files() -> None:
    comment = (FOLDER / "comment.yml").read_text(encoding="utf-8")
    assert f"grep -E '{CHECKING}'" in comment
    for name in (
        *("Makefile", "GNUmakefile", "mine/targets.mk", "dvc/__init__.py", "numpy.py", "numpy.so"),
        *(
            ".venv/ready",
            ".gitignore",
            ".dvc/config",
            "pyproject.toml",
            "commands/review/checks.py",
        ),
    ):
        assert re.search(CHECKING, name), name
    # All the code that makes the report.
    for name in own_files_imported(ROOT / "commands/ci.py", ROOT):
        assert re.search(CHECKING, name), name
    for name in ("params.yaml", "README.md", "stages/train.py", "workflow/model/sums.py"):
        assert not re.search(CHECKING, name), name


@pytest.mark.parametrize("failing", ["/pulls ", "/files", "--paginate"])
def test_a_call_of_github_that_fails_fails_the_step(
    jq: tuple[Path, dict[str, str]], tmp_path: Path, failing: str
) -> None:
    status, calls = post(jq, tmp_path, [OPEN], [OURS], failing)
    assert status == 1
    assert not [call for call in calls if "-F body=" in call]


@pytest.mark.parametrize(
    ("pulls", "comments", "method", "place"),
    [
        ([STALE, OPEN], FOREIGN, "POST", "repos/me/it/issues/7/comments"),
        ([STALE, OPEN], [*FOREIGN, OURS], "PATCH", "repos/me/it/issues/comments/99"),
        ([STALE], [], None, None),
        ([], [], None, None),
    ],
    ids=["first", "again", "newer-commit", "closed"],
)
def test_one_comment_is_posted_and_then_updated(
    jq: tuple[Path, dict[str, str]],
    tmp_path: Path,
    pulls: list[dict],
    comments: list[dict],
    method: str | None,
    place: str | None,
) -> None:
    status, calls = post(jq, tmp_path, pulls, comments)
    assert status == 0
    assert "head=fork:a$(touch owned)b" in calls[0]
    assert not (tmp_path / "owned").exists()
    sent = [call for call in calls if "-F body=" in call]
    if method is None:
        assert not sent
        return
    assert len(sent) == 1
    assert f"--method {method} {place} " in sent[0]
    body = (tmp_path / "body.md").read_text(encoding="utf-8")
    assert body.startswith(f"{MARKER}\n# Review")
    assert "@someone" not in body
    assert len(body) < 65_536
    assert body.endswith("(https://example.org/run)\n")
