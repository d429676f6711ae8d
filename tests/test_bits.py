"""The same bits whatever the machine: the real stages, run under other circumstances.

A slice of the real images and two epochs keep it short; the layers, the optimizer and the
figures are the pipeline's own.
"""

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import yaml
from conftest import STAGES, Project, copy_repository

from workflow.idx import read_idx, write_idx
from workflow.sources import DebianPackage, SourceError

Outcome = TypeVar("Outcome")

IMAGES = 600
QEMU = "qemu-x86_64-static"
# Haswell, of 2013, has no AVX-512 and other instructions. With AMD's name it has a first-level
# data cache of 64 KiB instead of 32: libraries cut their sums by its size.
PROCESSORS = ("Haswell", "Haswell,vendor=AuthenticAMD")


@pytest.fixture(scope="session")
def slice_source(real: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first images of the real data set, as IDX files."""
    folder = tmp_path_factory.mktemp("slice")
    params = yaml.safe_load((real.root / "params.yaml").read_text())
    for kind, file in params["data"]["files"].items():
        array = read_idx(real.root / "data/raw" / file["name"], 3 if "images" in kind else 1)
        write_idx(folder / file["name"], np.asarray(array[:IMAGES]))
    return folder


def sliced(folder: Path, source: Path) -> Project:
    """A copy of the repository, to be run on the slice."""
    folder.mkdir(parents=True)
    project = copy_repository(folder)

    def change(params: dict) -> None:
        for file in params["data"]["files"].values():
            content = (source / file["name"]).read_bytes()
            file["sha256"] = hashlib.sha256(content).hexdigest()
        params["recipes"][params["recipe"]]["epochs"] = 2

    project.edit_params(change)
    return Project(folder, source)


def results(project: Project) -> dict[str, str]:
    """Every output of the pipeline, by path, as a hash."""
    pipeline = yaml.safe_load((project.root / "dvc.yaml").read_text())["stages"]
    found = {}
    for stage in pipeline.values():
        for entry in (*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])):
            path = project.root / (entry if isinstance(entry, str) else next(iter(entry)))
            for file in sorted(path.iterdir()) if path.is_dir() else [path]:
                name = file.relative_to(project.root).as_posix()
                found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


@pytest.fixture(scope="session")
def expected(slice_source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the stages give when nothing is out of the ordinary."""
    project = sliced(tmp_path_factory.mktemp("plain") / "project", slice_source)
    for stage in STAGES:
        project.ok("python", "-m", f"stages.{stage}")
    found = results(project)
    assert len(found) > 10
    return found


CIRCUMSTANCES = {
    "another directory, again": ([], {}),
    "one core": (["taskset", "-c", "0"], {}),
    "another umask": (["sh", "-c", 'umask 077; exec "$@"', "sh"], {}),
    "another environment": (
        [],
        {
            "PYTHONHASHSEED": "7",
            "LC_ALL": "C",
            "LANG": "tr_TR.UTF-8",
            "TZ": "Pacific/Kiritimati",
            "OMP_NUM_THREADS": "3",
            "TF_NUM_INTRAOP_THREADS": "3",
            "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
            "ONEDNN_MAX_CPU_ISA": "ALL",
            "MPLBACKEND": "no such backend",
            "COLUMNS": "20",
        },
    ),
}


def test_the_settings_of_a_person_change_nothing(
    slice_source: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "keras.json").write_text(
        '{"floatx": "float64", "epsilon": 0.1, "image_data_format": "channels_first",'
        ' "backend": "jax"}'
    )
    env = {
        "KERAS_HOME": str(tmp_path),
        "KERAS_BACKEND": "jax",
        "TF_XLA_FLAGS": "--no_such_flag=1",
        "KERAS_NNX_ENABLED": "1",
        "PYTHONIOENCODING": "ascii",
        "FREETYPE_PROPERTIES": "truetype:interpreter-version=35",
    }
    project = sliced(tmp_path / "project", slice_source)
    (project.root / "matplotlibrc").write_text("font.family: serif\nlines.linewidth: 9\n")
    for stage in STAGES:
        project.ok("python", "-m", f"stages.{stage}", env=env)
    assert results(project) == expected


@pytest.mark.parametrize("circumstance", CIRCUMSTANCES)
def test_same_bytes(
    circumstance: str, slice_source: Path, expected: dict[str, str], tmp_path: Path
) -> None:
    wrapper, env = CIRCUMSTANCES[circumstance]
    if wrapper and shutil.which(wrapper[0]) is None:
        pytest.skip(f"{wrapper[0]} is not on this machine")
    project = sliced(tmp_path / "another place, with spaces – and ümlauts", slice_source)
    for stage in STAGES:
        done = project.run(*wrapper, "python", "-m", f"stages.{stage}", env=env)
        assert done.returncode == 0, done.stderr
    assert results(project) == expected


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An emulated processor: from the machine, or from Debian's archive without root."""
    if platform.machine() != "x86_64" or sys.platform != "linux":
        pytest.skip("the promise is for x86-64; the emulator needs Linux")
    installed = shutil.which(QEMU)
    if installed:
        return Path(installed)
    scratch = tmp_path_factory.mktemp("qemu")
    try:
        program = DebianPackage("qemu-user-static", scratch).bring(QEMU, scratch)
    except SourceError as error:
        # Nobody would notice that CI tests less.
        complain = pytest.fail if os.environ.get("CI") else pytest.skip
        complain(f"no {QEMU} on this machine, and none to be had: {error}")
    program.chmod(0o755)
    return program


def on_each_processor(run: Callable[[str], Outcome]) -> dict[str, Outcome]:
    """What `run` gives for each emulated processor: minutes each, so they run side by side."""
    with ThreadPoolExecutor(len(PROCESSORS)) as pool:
        return dict(zip(PROCESSORS, pool.map(run, PROCESSORS), strict=True))


@pytest.fixture(scope="session")
def emulated_results(
    emulator: Path, slice_source: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, str]]:
    folder = tmp_path_factory.mktemp("emulated")

    def run(processor: str) -> dict[str, str]:
        project = sliced(folder / processor, slice_source)
        for stage in STAGES:
            project.ok(str(emulator), "-cpu", processor, sys.executable, "-m", f"stages.{stage}")
        return results(project)

    return on_each_processor(run)


@pytest.mark.slow
@pytest.mark.parametrize("processor", PROCESSORS)
def test_same_bytes_on_another_processor(
    processor: str, emulated_results: dict[str, dict[str, str]], expected: dict[str, str]
) -> None:
    assert emulated_results[processor] == expected


@pytest.fixture(scope="session")
def arithmetic(real: Project) -> str:
    """Hashes of wide recipes and of the functions that layers are made of, on this processor."""
    return real.ok("python", "tests/arithmetic.py")


COMPILED_OTHERWISE = {
    "a library of SSE4.1": "ONEDNN_MAX_CPU_ISA=SSE41",
    "instructions of AVX2, and their tile": "XLA_FLAGS=+--xla_cpu_max_isa=AVX2"
    " --xla_backend_extra_options=xla_llvm_ir_gemm_tile_size=6:16:2*vectwidth",
    "the tile of AVX-512": "XLA_FLAGS=+"
    "--xla_backend_extra_options=xla_llvm_ir_gemm_tile_size=8:8:2*vectwidth",
    "vectors of 128 bits": "XLA_FLAGS=+--xla_cpu_prefer_vector_width=128",
    "vectors of 256 bits": "XLA_FLAGS=+--xla_cpu_prefer_vector_width=256",
}


@pytest.mark.parametrize("otherwise", COMPILED_OTHERWISE)
def test_no_sum_is_left_to_library_or_compiler(
    otherwise: str, real: Project, arithmetic: str
) -> None:
    assert real.ok("python", "tests/arithmetic.py", COMPILED_OTHERWISE[otherwise]) == arithmetic


@pytest.fixture(scope="session")
def emulated_arithmetic(emulator: Path, real: Project) -> dict[str, str]:
    return on_each_processor(
        lambda processor: real.ok(
            str(emulator), "-cpu", processor, sys.executable, "tests/arithmetic.py"
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize("processor", PROCESSORS)
def test_same_arithmetic_on_another_processor(
    processor: str, emulated_arithmetic: dict[str, str], arithmetic: str
) -> None:
    assert emulated_arithmetic[processor] == arithmetic


@pytest.mark.parametrize("library", ["numpy", "tensorflow"])
def test_an_environment_set_too_late_fails(library: str, real: Project) -> None:
    done = real.run("python", "-c", f"import {library}; import stages.train")
    assert done.returncode != 0
    assert f"{library} was imported before `workflow`" in done.stderr


@pytest.mark.skipif(platform.machine() != "x86_64", reason="where NumPy is held to AVX2")
def test_numpy_knows_the_features_that_it_is_to_do_without(real: Project) -> None:
    code = (
        "import workflow\n"
        "from numpy._core._multiarray_umath import __cpu_features__ as has\n"
        "print([has[name] for name in workflow.environment._AVX512.split()])"
    )
    assert real.ok("python", "-W", "error::ImportWarning", "-c", code) == "[False, False, False]\n"


def test_an_environment_changed_in_between_fails(real: Project) -> None:
    code = "import workflow, os; os.environ['XLA_FLAGS'] = ''; import stages.train"
    done = real.run("python", "-c", code)
    assert done.returncode != 0
    assert "the environment was changed" in done.stderr


def test_threads_are_set_by_the_program(real: Project) -> None:
    code = (
        "from workflow.reproducible import tf\n"
        "t = tf.config.threading\n"
        "print(t.get_intra_op_parallelism_threads(), t.get_inter_op_parallelism_threads())"
    )
    assert real.ok("python", "-c", code).split() == ["1", "1"]
