"""What every stage is wrapped in: whole outputs or one clear line."""

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import ROOT

PIPELINE = """
stages:
  copy:
    cmd: python -m stages copy
    deps: [input.txt, "${recipe}.txt", code]
    params:
      - seed
      - recipes.${recipe}
      - recipes.${ recipe }.${seed}
      - {more.yaml: [size.width]}
      - {all.yaml: null}
    outs: [output.txt]
"""
OF_A_FOLDER = """
stages:
  measure:
    matrix: {recipe: [two-layers, cnn], seed: [1, 2]}
    wdir: ..
    cmd: python -m stages study.measure
    deps: ["${item.recipe}.txt"]
    outs: ["study/${item.recipe}-${item.seed}.txt"]
"""
IMPORTS = """import os, signal
from pathlib import Path
from workflow.core.errors import UserError
"""
WRITE = "outputs.path('output.txt').write_text(Path('input.txt').read_text())\n"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a stage whose work is the given code, in a folder of its own."""
    (tmp_path / "stages").mkdir()
    for name in ("__init__.py", "__main__.py"):
        shutil.copy(ROOT / "stages" / name, tmp_path / "stages")
    (tmp_path / "dvc.yaml").write_text(PIPELINE)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "more.yaml").write_text("size: {width: 3, height: 4}")
    (tmp_path / "all.yaml").write_text("depth: 5")
    (tmp_path / "input.txt").write_text("content")
    (tmp_path / "tutorial.txt").write_text("more content")
    (tmp_path / "code" / "__pycache__").mkdir(parents=True)
    (tmp_path / "code" / "module.py").touch()

    def run_it(work: str, before: str = "") -> "subprocess.CompletedProcess[str]":
        """`before` is what the module does when it is imported."""
        body = textwrap.indent(textwrap.dedent(work).strip(), "    ")
        (tmp_path / "stages/copy.py").write_text(
            f"{IMPORTS}{before}\ndef run(params, outputs):\n{body}\n"
        )
        item = {name: os.environ[name] for name in ["DVC_STAGE"] if name in os.environ}
        return start("copy", tmp_path, item)

    return run_it


def start(
    stage: str, folder: Path, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "stages", stage],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "TMPDIR": str(folder.parent)}
        | (env or {}),
        capture_output=True,
        text=True,
        check=False,
    )


def written(folder: Path) -> set[str]:
    """The files that a stage has left in its folder."""
    given = {
        "all.yaml", "code", "dvc.yaml", "input.txt", "more.yaml", "params.yaml", "stages",
        "tutorial.txt",
    }  # fmt: skip
    return {path.name for path in folder.iterdir()} - given


def test_outputs_appear_at_the_end(run: Run, tmp_path: Path) -> None:
    done = run(WRITE + "assert not Path('output.txt').exists()")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "output.txt").read_text() == "content"
    assert written(tmp_path) == {"output.txt"}


@pytest.mark.parametrize(
    ("work", "line"),
    [
        ("raise UserError('no such thing: make one')", "copy: no such thing: make one"),
        ("Path('/no/such/place').read_text()", "copy: /no/such/place: No such file or directory"),
        ("raise OSError(28, 'No space left on device')", "copy: .: No space left on device"),
        ("os.kill(os.getpid(), signal.SIGINT)", "copy: interrupted; nothing was written"),
        (
            "os.kill(os.getpid(), signal.SIGTERM); os.kill(os.getpid(), signal.SIGTERM)",
            "copy: ended by SIGTERM; nothing was written: run `dvc repro` again",
        ),
        ("raise MemoryError", "copy: not enough memory: "),
        ("raise OSError('no number')", "copy: unexpected OSError: no number; the traceback is in"),
        ("{}['a key']", "copy: unexpected KeyError: 'a key'; the traceback is in /"),
        (
            "raise RuntimeError('first line\\nsecond')",
            "copy: unexpected RuntimeError: first line; the traceback is in /",
        ),
        (
            "import sys; sys.setrecursionlimit(90); f = lambda: f(); f()",
            "copy: unexpected RecursionError: maximum recursion",
        ),
        ("import no_such_module", "copy: unexpected ModuleNotFoundError: No module named"),
    ],
)
def test_a_failure_is_one_line_and_writes_nothing(
    run: Run, tmp_path: Path, work: str, line: str
) -> None:
    done = run(WRITE + work)
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert len(done.stderr.splitlines()) == 1
    assert written(tmp_path) == set()


def test_the_traceback_of_what_nobody_foresaw_is_kept(run: Run, tmp_path: Path) -> None:
    done = run("raise RuntimeError('first line\\nsecond')")
    kept = Path(done.stderr.partition("the traceback is in ")[2].partition(": ")[0])
    said = kept.read_text()
    kept.unlink()
    assert "stages/copy.py" in said
    assert said.endswith("RuntimeError: first line\nsecond\n")


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="a full disk is in /dev")
def test_a_full_disk_is_named(run: Run, tmp_path: Path) -> None:
    done = run("with open('/dev/full', 'w') as file: file.write('x' * 10**6)")
    assert done.stderr.startswith("copy: .: No space left on device: mend it and run")


def test_results_that_dvc_has_deleted_come_back_with_the_commands_that_are_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DVC deletes what a stage has written before it starts the stage."""
    (tmp_path / "dvc.yaml").write_text(
        "stages: {copy: {outs: [output.txt], plots: [{'a table.csv': {cache: false}}]}}"
    )
    outs = "[{path: output.txt, md5: x}, {path: a table.csv, md5: y}]"
    (tmp_path / "dvc.lock").write_text(f"stages: {{copy: {{cmd: 'true', outs: {outs}}}}}")
    failing = "raise UserError('no')"
    assert run(failing).stderr == "copy: no\n"
    monkeypatch.setenv("DVC_STAGE", "copy")
    assert run(failing).stderr == (
        "copy: no; the former results come back with `git restore 'a table.csv'` and"
        " `dvc checkout output.txt`\n"
    )
    for damaged in ("stages: [1]", "stages: {copy: {outs: [1]}}", "", "["):
        (tmp_path / "dvc.lock").write_text(damaged)
        assert run(failing).stderr == "copy: no\n"


def test_an_older_output_survives_a_failure(run: Run, tmp_path: Path) -> None:
    (tmp_path / "output.txt").write_text("older")
    assert run(WRITE + "raise UserError('no')").returncode == 1
    assert (tmp_path / "output.txt").read_text() == "older"


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        ("Path('input.txt').write_text('else')", "input.txt"),
        ("Path('input.txt').unlink()", "input.txt"),
        ("Path('tutorial.txt').write_text('else')", "tutorial.txt"),
        ("Path('code/module.py').write_text('else')", "code"),
        ("Path('code/new.py').touch()", "code"),
        ("Path('code/module.py').unlink()", "code"),
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
    ],
)
def test_a_dependency_edited_meanwhile_fails_the_stage(
    run: Run, tmp_path: Path, edit: str, named: str
) -> None:
    done = run(WRITE + edit)
    assert done.returncode == 1
    assert done.stderr.startswith(f"copy: {named} changed while the stage ran")
    assert not (tmp_path / "output.txt").exists()


def test_an_edit_while_modules_are_imported_fails_the_stage(run: Run, tmp_path: Path) -> None:
    done = run(WRITE, before="Path('input.txt').write_text('else')")
    assert done.returncode == 1
    assert done.stderr.startswith("copy: input.txt changed while the stage ran")


def before_it_begins(folder: Path, does: str) -> None:
    """Let something happen as soon as the runner of the stage is imported."""
    runner = folder / "stages/__main__.py"
    line = "        from workflow.core.stage import run_stage\n"
    text = runner.read_text()
    assert line in text
    runner.write_text(text.replace(line, f"{line}        {does}\n"))


def test_an_edit_before_the_first_look_fails_the_stage(run: Run, tmp_path: Path) -> None:
    """The stage has begun, but has not come to look at its dependencies yet."""
    before_it_begins(tmp_path, "__import__('pathlib').Path('input.txt').write_text('else')")
    done = run(WRITE)
    assert done.returncode == 1
    assert done.stderr.startswith("copy: input.txt changed while the stage ran")


@pytest.mark.parametrize(
    ("name", "ended"), [("SIGINT", "interrupted"), ("SIGTERM", "ended by SIGTERM")]
)
def test_a_signal_before_the_stage_begins_is_one_line(
    run: Run, tmp_path: Path, name: str, ended: str
) -> None:
    before_it_begins(tmp_path, f"signal = __import__('signal'); signal.raise_signal(signal.{name})")
    done = run(WRITE)
    assert done.returncode == 1
    said = "before it began; nothing was written: run it again"
    assert done.stderr == f"copy: {ended} {said}\n"
    assert written(tmp_path) == set()


def test_what_python_and_editors_leave_in_a_folder_is_no_edit(run: Run, tmp_path: Path) -> None:
    names = ["__pycache__/module.pyc", "module.py~", ".module.py.swp", ".#module.py"]
    done = run(WRITE + f"for name in {names}: Path('code', name).touch()")
    assert (done.returncode, done.stderr) == (0, "")
    assert all((tmp_path / "code" / name).exists() for name in names)


@pytest.mark.parametrize(
    "edit",
    [
        "p = Path('params.yaml'); p.write_text(p.read_text() + '# a comment')",
        "Path('more.yaml').write_text('size: {width: 3, height: 5}')",
    ],
)
def test_an_edit_of_another_param_does_not_matter(run: Run, edit: str) -> None:
    assert run(WRITE + edit).returncode == 0


@pytest.mark.parametrize("text", ["stages: [", "", "stages: {renamed: {cmd: 'true'}}"])
def test_an_edit_of_dvc_yaml_meanwhile_loses_nothing(run: Run, tmp_path: Path, text: str) -> None:
    done = run(WRITE + f"Path('dvc.yaml').write_text({text!r})")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "output.txt").read_text() == "content"


@pytest.mark.parametrize("text", ["stages: {renamed: {cmd: 'true'}}", "stages: [copy]", "- 1"])
def test_a_stage_that_the_pipeline_lacks_is_named(run: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "dvc.yaml").write_text(text)
    done = run(WRITE)
    assert (done.returncode, done.stderr[:29]) == (1, "copy: dvc.yaml: no stage copy")


def test_a_dependency_dated_in_the_future_is_none_that_was_edited(run: Run, tmp_path: Path) -> None:
    os.utime(tmp_path / "input.txt", (2**32, 2**32))
    done = run(WRITE)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_folder_in_the_place_of_a_file_is_named_and_kept(run: Run, tmp_path: Path) -> None:
    (tmp_path / "output.txt").mkdir()
    (tmp_path / "output.txt" / "precious").write_text("work")
    done = run(WRITE)
    assert done.returncode == 1
    assert "output.txt: is a folder" in done.stderr
    assert (tmp_path / "output.txt" / "precious").read_text() == "work"


def test_an_interrupt_between_two_outputs_comes_too_late(run: Run, tmp_path: Path) -> None:
    interrupting = """
import workflow.core.stage as stage
replace = stage.replace
def replace_and_interrupt(path, partial):
    replace(path, partial)
    os.kill(os.getpid(), signal.SIGINT)
stage.replace = replace_and_interrupt
"""
    done = run(WRITE + "outputs.path('second.txt').write_text('more')", before=interrupting)
    assert (done.returncode, done.stderr) == (0, "")
    assert written(tmp_path) == {"output.txt", "second.txt"}


def test_a_stage_of_a_folder_and_a_matrix_gets_its_item(run: Run, tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    (study / "dvc.yaml").write_text(OF_A_FOLDER)
    write = "outputs.path(f'study/{item}.txt').write_text(item)"
    module = f"{IMPORTS}\ndef run(params, outputs, item):\n    {write}\n"
    (study / "measure.py").write_text(module)
    item = {"DVC_STAGE": "study/dvc.yaml:measure@two-layers-2"}
    done = start("study.measure", tmp_path, item)
    assert (done.returncode, done.stderr) == (0, "")
    assert (study / "two-layers-2.txt").read_text() == "two-layers-2"
    # Its own item decides what it depends on.
    for edited, status in (("cnn.txt", 0), ("two-layers.txt", 1)):
        edit = f"    Path({edited!r}).write_text('else')\n"
        (study / "measure.py").write_text(module + edit)
        done = start("study.measure", tmp_path, item)
        assert done.returncode == status
    assert "study.measure: two-layers.txt changed while the stage ran" in done.stderr
    assert "run `dvc repro study/dvc.yaml` again" in done.stderr
