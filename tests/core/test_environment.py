"""The environment is set in time, or nothing runs."""

import platform

import pytest
from projects import Project


@pytest.mark.parametrize("library", ["numpy", "tensorflow"])
def test_an_environment_set_too_late_fails(library: str, tiny_run: Project) -> None:
    code = f"import {library}; from workflow.core.stage import run_stage; run_stage('train')"
    done = tiny_run.run("python", "-c", code)
    assert done.returncode != 0
    assert f"{library} was imported before `workflow`" in done.stderr


def test_tensorflow_does_not_start_in_another_environment(tiny_run: Project) -> None:
    for code in ("", "import os; environment.apply(); os.environ['XLA_FLAGS'] = '';"):
        done = tiny_run.run(
            "python",
            "-c",
            f"from workflow.core import environment; {code} import workflow.model.tensorflow",
        )
        assert done.returncode != 0
        assert "the environment is not set" in done.stderr


@pytest.mark.skipif(platform.machine() != "x86_64", reason="where NumPy is held to AVX2")
def test_numpy_knows_the_features_that_it_is_to_do_without(tiny_run: Project) -> None:
    code = (
        "from workflow.core import environment; environment.apply()\n"
        "from numpy._core._multiarray_umath import __cpu_features__ as has\n"
        "print([has[name] for name in environment._AVX512.split()])"
    )
    said = tiny_run.ok("python", "-W", "error::ImportWarning", "-c", code)
    assert said == "[False, False, False]\n"
