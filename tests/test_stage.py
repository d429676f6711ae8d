"""What every stage is wrapped in: whole outputs or one clear line."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import ROOT

PIPELINE = """
stages:
  copy:
    cmd: python copy_stage.py
    deps: [input.txt, "${recipe}.txt"]
    params:
      - seed
      - recipes.${recipe}
      - recipes.${ recipe }.${seed}
      - {more.yaml: [size.width]}
      - {all.yaml: null}
    outs: [output.txt]
"""


@pytest.fixture
def run(tmp_path: Path):
    """Run a stage whose work is the given code, in a folder of its own."""
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / "more.yaml").write_text("size: {width: 3, height: 4}")
    (tmp_path / "all.yaml").write_text("depth: 5")
    (tmp_path / "input.txt").write_text("content")
    (tmp_path / "tutorial.txt").write_text("more content")

    def run_it(work: str, first: str = "") -> subprocess.CompletedProcess[str]:
        script = (
            first + "import os\n"
            "from pathlib import Path\n"
            "from workflow.errors import UserError\n"
            "from workflow.stage import run_stage\n"
            "from workflow.workers import for_each\n"
            "def work(params, outputs):\n"
            + textwrap.indent(textwrap.dedent(work).strip(), "    ")
            + "\nrun_stage('copy', work)\n"
        )
        return subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run_it


WRITE = "outputs.path('output.txt').write_text(Path('input.txt').read_text())\n"


def leftovers(folder: Path) -> set[str]:
    names = {path.name for path in folder.iterdir()}
    return names - {
        "dvc.yaml", "params.yaml", "more.yaml", "all.yaml", "input.txt", "tutorial.txt",
        "__pycache__",
    }  # fmt: skip


def test_outputs_appear_at_the_end(run, tmp_path: Path) -> None:
    done = run(WRITE + "assert not Path('output.txt').exists()")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "output.txt").read_text() == "content"
    assert leftovers(tmp_path) == {"output.txt"}


@pytest.mark.parametrize(
    ("work", "line"),
    [
        ("raise UserError('no such thing: make one')", "copy: no such thing: make one"),
        ("Path('/no/such/place').read_text()", "copy: /no/such/place: No such file or directory"),
        ("raise OSError(28, 'No space left on device')", "copy: .: No space left on device"),
        ("raise KeyboardInterrupt", "copy: interrupted"),
        (
            "def fail(item): raise UserError(f'no {item}: make one')\n"
            "list(for_each(fail, ['such thing']))",
            "copy: no such thing: make one",
        ),
        (
            "list(for_each(lambda item: os.kill(os.getpid(), 9), ['a']))",
            "copy: a worker process was killed, perhaps for want of memory: run `dvc repro` again",
        ),
    ],
)
def test_a_failure_is_one_line_and_writes_nothing(
    run, tmp_path: Path, work: str, line: str
) -> None:
    done = run(WRITE + work)
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert len(done.stderr.splitlines()) == 1
    assert leftovers(tmp_path) == set()


def test_the_memory_that_is_told_is_of_the_largest_process(run) -> None:
    done = run("list(for_each(lambda item: len(b'x' * 300 * 2**20), ['a']))")
    assert done.returncode == 0, done.stderr
    told = int(done.stdout.split("at most ")[1].split(" MB")[0])
    assert 300 <= told < 400


def test_an_older_output_survives_a_failure(run, tmp_path: Path) -> None:
    (tmp_path / "output.txt").write_text("older")
    assert run(WRITE + "raise UserError('no')").returncode == 1
    assert (tmp_path / "output.txt").read_text() == "older"


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        ("Path('input.txt').write_text('else')", "input.txt"),
        ("Path('input.txt').unlink()", "input.txt"),
        (
            "p = Path('params.yaml'); p.write_text(p.read_text().replace('seed: 1', 'seed: 9'))",
            "params.yaml: seed",
        ),
        (
            "p = Path('params.yaml');"
            " p.write_text(p.read_text().replace('epochs: 10', 'epochs: 9', 1))",
            "params.yaml: recipes.tutorial",
        ),
        ("Path('more.yaml').write_text('size: {width: 2, height: 4}')", "more.yaml: size.width"),
        ("Path('all.yaml').write_text('depth: 6')", "all.yaml"),
        ("Path('tutorial.txt').write_text('else')", "tutorial.txt"),
    ],
)
def test_a_dependency_edited_meanwhile_fails_the_stage(
    run, tmp_path: Path, edit: str, named: str
) -> None:
    done = run(WRITE + edit)
    assert done.returncode == 1
    assert done.stderr.startswith(f"copy: {named} changed while the stage ran")
    assert not (tmp_path / "output.txt").exists()


def test_an_edit_while_modules_are_imported_fails_the_stage(run, tmp_path: Path) -> None:
    """The stage has begun, but has not come to look at its dependencies yet."""
    (tmp_path / "slow.py").write_text(
        "import time, pathlib; time.sleep(0.05); pathlib.Path('input.txt').write_text('else')"
    )
    done = run(WRITE, first="from workflow.stage import enter\nenter()\nimport slow\n")
    assert done.returncode == 1
    assert done.stderr.startswith("copy: input.txt changed while the stage ran")


def test_a_folder_in_the_place_of_a_file_is_named_and_kept(run, tmp_path: Path) -> None:
    (tmp_path / "output.txt").mkdir()
    (tmp_path / "output.txt" / "precious").write_text("work")
    done = run(WRITE)
    assert done.returncode == 1
    assert "output.txt: is a folder" in done.stderr
    assert (tmp_path / "output.txt" / "precious").read_text() == "work"


@pytest.mark.parametrize(
    "edit",
    [
        "p = Path('params.yaml'); p.write_text(p.read_text() + '# a comment')",
        "Path('more.yaml').write_text('size: {width: 3, height: 5}')",
    ],
)
def test_an_edit_of_another_param_does_not_matter(run, edit: str) -> None:
    assert run(WRITE + edit).returncode == 0


@pytest.mark.parametrize("text", ["stages: [", "", "stages: {renamed: {cmd: 'true'}}"])
def test_an_edit_of_dvc_yaml_meanwhile_loses_nothing(run, tmp_path: Path, text: str) -> None:
    done = run(WRITE + f"Path('dvc.yaml').write_text({text!r})")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "output.txt").read_text() == "content"


def test_a_stage_that_the_pipeline_lacks_is_named(run, tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages: {renamed: {cmd: 'true'}}")
    done = run(WRITE)
    assert (done.returncode, done.stderr[:28]) == (1, "copy: dvc.yaml: no stage cop")


def test_a_dependency_dated_in_the_future_is_none_that_was_edited(run, tmp_path: Path) -> None:
    os.utime(tmp_path / "input.txt", (2**32, 2**32))
    done = run(WRITE)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupt_between_two_outputs_comes_too_late(run, tmp_path: Path) -> None:
    slow = """
import workflow.stage, os, signal
one_by_one = workflow.stage.take_place
def take_place(partial, path):
    one_by_one(partial, path)
    os.kill(os.getpid(), signal.SIGINT)
workflow.stage.take_place = take_place
"""
    done = run(WRITE + "outputs.path('second.txt').write_text('more')", first=slow)
    assert (done.returncode, done.stderr) == (0, "")
    assert leftovers(tmp_path) == {"output.txt", "second.txt"}
