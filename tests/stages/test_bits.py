"""The same bits whatever the machine: the real stages, run under other circumstances."""

import hashlib
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from debian import program, unpack
from PIL import Image
from projects import (
    ROOT,
    STAGES,
    STUDIES,
    Project,
    built_once,
    copy_repository,
    load_yaml,
    sliced,
)

ARITHMETIC = "tests/model/arithmetic.py"
# Of pictures, each mode in a format that has it.
KINDS = (
    *(("RGB", "jpg"), ("L", "jpg"), ("CMYK", "jpg"), ("RGB", "png"), ("P", "png")),
    *(("RGBA", "png"), ("RGB", "webp"), ("RGB", "tif"), ("P", "gif"), ("RGB", "bmp")),
)
# Haswell, of 2013, has no AVX-512 and other instructions. With AMD's name it has a first-level
# data cache of 64 KiB instead of 32: libraries cut their sums by its size.
INTEL, AMD = "Haswell", "Haswell,vendor=AuthenticAMD"
ARM64 = "ARM64"
FOR_HANGS = pytest.mark.timeout(3600)  # no measure of how long it takes

# What a person's machine may have set otherwise.
ODD_VARIABLES = {
    "PYTHONHASHSEED": "7",
    "PYTHONIOENCODING": "ascii",
    "LC_ALL": "C",
    "LANG": "tr_TR.UTF-8",
    "TZ": "Pacific/Kiritimati",
    "COLUMNS": "20",
    "OMP_NUM_THREADS": "3",
    "TF_NUM_INTRAOP_THREADS": "3",
    "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
    "TF_XLA_FLAGS": "--no_such_flag=1",
    "ONEDNN_MAX_CPU_ISA": "ALL",
    "KERAS_BACKEND": "jax",
    "KERAS_NNX_ENABLED": "1",
    "MPLBACKEND": "no such backend",
    "FREETYPE_PROPERTIES": "truetype:interpreter-version=35",
}
ODD_KERAS = (
    '{"floatx": "float64", "epsilon": 0.1, "image_data_format": "channels_first", "backend": "jax"}'
)
# On one core, with another umask.
ON_ONE_CORE = """
import os, sys
os.umask(0o077)
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.slow
def test_other_circumstances_give_the_committed_bytes(real: Project, tmp_path: Path) -> None:
    (tmp_path / "keras.json").write_text(ODD_KERAS)
    project = copy_repository(tmp_path / "another place, with spaces – and ümlauts")
    (project.root / "matplotlibrc").write_text("font.family: serif\nlines.linewidth: 9\n")
    env = ODD_VARIABLES | {"KERAS_HOME": str(tmp_path), "DATA_SOURCE": str(real.data_source)}
    for stage in STAGES:
        wrapped = ("python", "-c", ON_ONE_CORE, "python", "-m", "stages", stage)
        done = project.run(*wrapped, env=env)
        assert done.returncode == 0, done.stderr
    assert results(project) == results(real)


def results(project: Project) -> dict[str, str]:
    """Every output of the pipeline, by path, as a hash."""
    found = {}
    for stage in load_yaml(project.root / "dvc.yaml")["stages"].values():
        for entry in (*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])):
            path = project.root / (entry if isinstance(entry, str) else next(iter(entry)))
            for file in filter(Path.is_file, path.rglob("*") if path.is_dir() else [path]):
                name = file.relative_to(project.root).as_posix()
                found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    assert len(found) > 10
    return found


@pytest.fixture(scope="session")
def emulators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs that emulate other processors."""
    if platform.machine() != "x86_64" or sys.platform != "linux":
        pytest.skip("the emulators are those for x86-64 with Linux")
    folder = tmp_path_factory.mktemp("qemu")
    return program("qemu-x86_64-static", "qemu-user-static", folder)[0].parent  # they need nothing


@pytest.fixture(scope="session")
def arm64(emulators: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of an emulated Python for ARM64 that has the locked packages."""
    if platform.freedesktop_os_release()["ID"] != "debian":
        pytest.skip("only Debian's archive has programs for ARM64 beside those for x86-64")
    root = unpack(["python3", "libstdc++6"], tmp_path_factory.mktemp("debian"), "arm64")
    python = (root / "usr/bin/python3").resolve(strict=True)
    packages = tmp_path_factory.mktemp("packages")
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps"]
    install += ["--target", str(packages), "--only-binary", ":all:"]
    install += ["--python-version", python.name.removeprefix("python")]
    install += ["--python-platform", "aarch64-manylinux_2_28", "--require-hashes"]
    subprocess.run([*install, "-r", str(ROOT / "requirements/pipeline.lock")], check=True)
    # Compiled once, by the first process, since an emulated one is slow.
    compiled = tmp_path_factory.mktemp("compiled")
    variables = ["-E", f"PYTHONPATH={packages}", "-E", f"PYTHONPYCACHEPREFIX={compiled}"]
    return [str(emulators / "qemu-aarch64-static"), "-L", str(root), *variables, str(python)]


@pytest.fixture
def other(request: pytest.FixtureRequest) -> list[str]:
    """The command of a Python on another processor: ARM64, or one of x86-64 by its name."""
    if request.param == ARM64:
        return request.getfixturevalue("arm64")
    emulators = request.getfixturevalue("emulators")
    return [str(emulators / "qemu-x86_64-static"), "-cpu", request.param, sys.executable]


@pytest.mark.slow
@FOR_HANGS
@pytest.mark.parametrize("other", [AMD, ARM64], indirect=True)
def test_same_bytes_on_another_processor(real: Project, other: list[str], tmp_path: Path) -> None:
    found = []
    for command in (["python"], other):
        project = sliced(tmp_path / str(len(found)), real)
        for stage in STAGES:
            project.ok(*command, "-m", "stages", stage)
        found.append(results(project))
    assert found[0] == found[1]


def of_pictures(folder: Path) -> Project:
    """A copy of the repository that is to be trained on pictures: all formats, modes and sizes."""
    project = copy_repository(folder, left_out=STUDIES)
    draw = np.random.default_rng(5)
    for name in ("one", "two"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(16):
            height, width = draw.integers(20, 120, 2)
            noise = draw.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
            image = Image.fromarray(noise).resize((width, height), Image.Resampling.NEAREST)
            mode, ending = KINDS[number % len(KINDS)]
            exif = Image.Exif()
            exif[0x0112] = 6 if number % 3 == 0 and ending in ("jpg", "png", "webp") else 1
            image.convert(mode).save(folder / f"photos/{name}/{number}.{ending}", exif=exif)
    project.edit_params(
        lambda params: params.update(
            data={"format": "pictures", "folder": "photos", "size": [20, 24]}
        )
    )
    project.edit_params(lambda params: params["recipes"][params["recipe"]].update(epochs=2))
    return project


@pytest.mark.slow
@FOR_HANGS
@pytest.mark.parametrize("other", [AMD], indirect=True)
def test_pictures_give_the_same_bytes_on_another_processor(
    other: list[str], tmp_path: Path
) -> None:
    found = []
    for command in (["python"], other):
        folder = tmp_path / str(len(found))
        project = of_pictures(folder)
        for stage in STAGES:
            project.ok(*command, "-m", "stages", stage)
        found.append(results(project))
        # Training on them would take minutes and be the same arithmetic.
        for fit in ("crop", "stretch"):
            project.edit_params(lambda params, fit=fit: params["data"].update(fit=fit))
            project.ok(*command, "-m", "stages", "normalize")
            content = (project.root / "data/normalized.npz").read_bytes()
            found[-1][fit] = hashlib.sha256(content).hexdigest()
    assert found[0]["crop"] != found[0]["stretch"]
    assert found[0] == found[1]


@pytest.fixture(scope="session")
def arithmetic(real: Project, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Hashes of wide recipes and of the functions that layers are made of, on this processor."""

    def hashes(folder: Path) -> None:
        (folder / "hashes").write_text(real.ok("python", ARITHMETIC))

    return (built_once(tmp_path_factory, hashes) / "hashes").read_text()


COMPILED_OTHERWISE = {
    "a library of SSE4.1, vectors of 128 bits": [
        "ONEDNN_MAX_CPU_ISA=SSE41",
        "XLA_FLAGS=+--xla_cpu_prefer_vector_width=128",
    ],
    "instructions of AVX2, and their tile": [
        "XLA_FLAGS=+--xla_cpu_max_isa=AVX2"
        " --xla_backend_extra_options=xla_llvm_ir_gemm_tile_size=6:16:2*vectwidth"
    ],
    "the tile of AVX-512, vectors of 256 bits": [
        "XLA_FLAGS=+--xla_cpu_prefer_vector_width=256"
        " --xla_backend_extra_options=xla_llvm_ir_gemm_tile_size=8:8:2*vectwidth"
    ],
}


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="where the flags of XLA are set")
@pytest.mark.parametrize("otherwise", COMPILED_OTHERWISE)
def test_no_sum_is_left_to_library_or_compiler(
    otherwise: str, real: Project, arithmetic: str
) -> None:
    assert real.ok("python", ARITHMETIC, *COMPILED_OTHERWISE[otherwise]) == arithmetic


@pytest.mark.slow
@FOR_HANGS
@pytest.mark.parametrize("other", [INTEL, ARM64], indirect=True)
def test_same_arithmetic_on_another_processor(
    real: Project, other: list[str], arithmetic: str
) -> None:
    assert real.ok(*other, ARITHMETIC) == arithmetic
