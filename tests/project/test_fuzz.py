"""Whatever is in a file, reading it ends in a result or in one line that names the file, soon.

Each file that the project reads is taken as it should be, and changed: bytes flipped, cut, moved
or replaced by what parsers stumble over. `FUZZ_CASES` says how many cases there are of each.
"""

import io
import json
import os
import resource
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from projects import ROOT

from commands.review.lockfile import LockedFile, LockedStage, md5_of, parse_lock
from commands.review.predictions import read_predictions
from commands.review.revisions import Revision
from commands.review.rules import SeedsRecord, parse_rules
from commands.review.seeds import Run, measured_spread
from workflow.core.errors import UserError
from workflow.core.files import read_columns, read_json
from workflow.core.params import load_params
from workflow.data.idx import read_images, write_idx
from workflow.data.npz import StoredArray, read_array, write_arrays
from workflow.model.keras_file import load_model, save_model
from workflow.model.recipe import build_model, load_recipe

SECONDS, MEGABYTES = 5, 1000
# Of each file: in the fast tier, and in all tests if nothing else is asked for.
FEW, MANY = 8, 750
CASES = int(os.environ.get("FUZZ_CASES", MANY))

STUMBLING_BLOCKS = [
    b"", b"\0", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\n", b"\t", b",", b'"', b"'", b":", b"-",
    b"- ", b"[", b"]", b"{", b"}", b"[[[[[[[[", b"{}", b"&a ", b"*a", b"<<: *a", b"!!python/none",
    b"? ", b"!!binary ", b"%YAML 9.9\n",
    b"---\n", b"0", b"-1", b"1.7", b"1e999", b"9" * 30, b"1_000",
    b"0x7f", b"nan", b"NaN", b".inf", b"-Infinity", b"true", b"True", b"null", b"~", b"2024-13-45",
    b"\xd9\xa3",
    b"=======\n", b"<<<<<<< HEAD\n", b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06",
    b"\x93NUMPY", b"\x89HDF\r\n\x1a\n", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0",
    b"|O", b"<U0", b"(-1,)", b"(True,)", b"()", b"softmax", b"Lambda", b"'", b"\\u0000", b"\\ud800",
]  # fmt: skip


@dataclass(frozen=True)
class Edit:
    """One change: what stands from `start` on for `length` is replaced by `by`.

    Attributes:
        start: as a share of the content.
        length: in bytes.
        by: what comes in its place; None for a flipped bit.
    """

    start: float
    length: int
    by: bytes | None

    def __call__(self, content: bytes) -> bytes:
        start = int(self.start * len(content))
        if self.by is None:
            flipped = bytes(byte ^ 1 << (self.length % 8) for byte in content[start : start + 1])
            return content[:start] + flipped + content[start + 1 :]
        return content[:start] + self.by + content[start + self.length :]


letters = st.text(max_size=4).map(lambda text: text.encode("utf-8", "surrogatepass"))
edits = st.lists(
    st.builds(
        Edit,
        st.floats(0, 1),
        st.integers(0, 8) | st.integers(0, 400) | st.just(1 << 30),
        st.none()
        | st.sampled_from(STUMBLING_BLOCKS)
        | st.binary(max_size=8)
        | st.text(max_size=4).map(lambda text: text.encode("utf-8", "surrogatepass")),
    ),
    min_size=1,
    max_size=4,
)


@dataclass(frozen=True)
class Read:
    """A file as it should be, and what reads it."""

    name: str
    content: bytes
    read: Callable[[Path], object]


def _all_rows(path: Path) -> object:
    with StoredArray(path, "images") as images:
        images.take(np.arange(len(images)))
    return read_array(path, "labels")


def _params(path: Path) -> object:
    params = load_params(path)
    return [load_recipe(params, name) for name in params.recipes]


class _Recorded(Revision):
    """A folder whose files a stage has written, whatever they hold."""

    @property
    def lock(self) -> dict[str, LockedStage]:
        outs = [LockedFile(path=file.name, md5=md5_of(file)) for file in self.root.iterdir()]
        return {"measure": LockedStage(cmd="measure", outs=outs)}


def _spread(path: Path) -> object:
    run = Run("tutorial", {}, 1, "0" * 32)
    revision = _Recorded(None, "here", path.parent)
    return measured_spread(run, [], [revision], SeedsRecord(folder=".", measured_by="make it"))


def _made(make: Callable[[Path], object], name: str = "file") -> bytes:
    """The bytes that `make` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        make(path)
        return path.read_bytes()


def _arrays(path: Path) -> None:
    write_arrays(
        path, {"images": np.ones((5, 4, 3), np.float32), "labels": np.arange(5, dtype=np.uint8)}
    )


def _model(path: Path) -> None:
    params = load_params(ROOT / "params.yaml")
    save_model(build_model(load_recipe(params, "tutorial"), (3, 2), 3), path)


def _predictions(path: Path) -> object:
    return read_predictions(Revision(None, "here", path.parent.parent))


SEEDS = {"data_md5": "0" * 32, "recipe": {}, "test_accuracy": {"1": 0.8, "2": 0.9, "3": 0.85}}
HISTORY = b"epoch,loss,accuracy\n1,0.5,0.8\n2,0.25,0.9\n"
PREDICTED = b"actual,predicted,actual_label,predicted_label\na,b,0,1\nb,b,1,1\n"

READS = [
    Read("params.yaml", (ROOT / "params.yaml").read_bytes(), _params),
    Read(
        "review.yaml",
        (ROOT / "review.yaml").read_bytes(),
        lambda path: parse_rules(path.read_bytes(), str(path)),
    ),
    Read(
        "dvc.lock",
        (ROOT / "dvc.lock").read_bytes(),
        lambda path: parse_lock(path.read_bytes(), str(path), "restore it"),
    ),
    Read("history.csv", HISTORY, lambda path: read_columns(path, ["loss"])),
    Read("per_class.json", (ROOT / "metrics/per_class.json").read_bytes(), read_json),
    Read("plots/predictions.csv", PREDICTED, _predictions),
    Read("tutorial.json", json.dumps(SEEDS).encode(), _spread),
    Read(
        "images",
        _made(lambda path: write_idx(path, np.ones((5, 4, 3), np.uint8))),
        lambda path: read_images(path).sum(),
    ),
    Read("data.npz", _made(_arrays), _all_rows),
    Read("model.keras", _made(_model, "model.keras"), load_model),
]


def check(file: Read, folder: Path, changes: list[Edit]) -> None:
    """Change the file, and read it."""
    content = file.content
    for change in changes:
        content = change(content)
    path = folder / file.name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    start, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        file.read(path)
    except UserError as error:
        said = str(error)
        assert len(said.splitlines()) == 1, said
        assert file.name.rpartition("/")[2] in said
        assert len(said) < 1000, said
    assert time.monotonic() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEGABYTES * 1000


def fuzz(file: Read, folder: Path, cases: int) -> None:
    at_a_time = 1000  # Hypothesis remembers every case of one call

    @settings(
        max_examples=min(cases, at_a_time),
        deadline=None,
        database=None,
        derandomize="FUZZ_CASES" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(edits)
    def every(changes: list[Edit]) -> None:
        check(file, folder, changes)

    for _ in range(0, cases, at_a_time):
        every()


@pytest.mark.parametrize("file", READS, ids=lambda file: file.name)
def test_whatever_a_file_holds_is_a_result_or_one_line(file: Read, tmp_path: Path) -> None:
    fuzz(file, tmp_path, FEW)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("file", READS, ids=lambda file: file.name)
def test_it_is_so_in_many_cases(file: Read, tmp_path: Path) -> None:
    fuzz(file, tmp_path, CASES)


@pytest.mark.parametrize("file", READS, ids=lambda file: file.name)
def test_the_file_as_it_should_be_is_read(file: Read, tmp_path: Path) -> None:
    path = tmp_path / file.name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(file.content)
    file.read(path)


def _with_entry(content: bytes, name: str, entry: bytes) -> bytes:
    """An archive with one entry replaced."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(stream, "w") as target:
        for each in source.namelist():
            target.writestr(each, entry if each == name else source.read(each))
    return stream.getvalue()


ENTRIES: list[tuple[str, str]] = [
    ("data.npz", "images.npy"),
    ("data.npz", "labels.npy"),
    ("model.keras", "config.json"),
    ("model.keras", "model.weights.h5"),
]


def fuzz_entry(name: str, entry: str, folder: Path, cases: int) -> None:
    """Change what is in an archive, whose checksums agree with it."""
    archive: Any = next(file for file in READS if file.name == name)
    content = zipfile.ZipFile(io.BytesIO(archive.content)).read(entry)

    def read(path: Path) -> object:
        path.write_bytes(_with_entry(archive.content, entry, path.read_bytes()))
        return archive.read(path)

    fuzz(Read(name, content, read), folder, cases)


@pytest.mark.parametrize(("name", "entry"), ENTRIES)
def test_so_it_is_inside_archives(name: str, entry: str, tmp_path: Path) -> None:
    fuzz_entry(name, entry, tmp_path, FEW)


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize(("name", "entry"), ENTRIES)
def test_so_it_is_inside_archives_in_many_cases(name: str, entry: str, tmp_path: Path) -> None:
    fuzz_entry(name, entry, tmp_path, CASES)
