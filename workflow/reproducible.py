"""TensorFlow, held to results that are a function of code, params and packages alone.

Every other module takes `tf` and `keras` from here, so that none can be imported
without the environment, the thread counts and the determinism that this module sets.
"""

import gc
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from workflow import environment
from workflow.errors import UserError
from workflow.files import PARTIAL_PREFIX

if not environment.is_set():
    raise RuntimeError("the environment was changed after `import workflow`: leave it as it is")


@contextmanager
def _start_up_notes_held_back() -> Iterator[None]:
    """Keep what TensorFlow's libraries print while they load, and show it only on failure.

    They write to the file descriptor before any setting is read, a page of notes of which a
    person at the terminal can use none.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except Exception:
            notes.seek(0)
            os.write(terminal, notes.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


# Keras imports these where it finds them, for data frames, pictures and reports. Without them
# it starts a fifth faster and takes 70 MB less; whoever needs one imports it later, as ever.
_NOT_FOR_KERAS = ("matplotlib", "pandas", "PIL", "requests", "scipy")


# What lists the functions `tf.nn` names three wrappers of recurrent cells among them, for which it
# would load an older Keras as a whole: a tenth of the time that TensorFlow takes to start.
_OLDER_KERAS = (
    "tensorflow.python.keras",
    "tensorflow.python.keras.layers",
    "tensorflow.python.keras.layers.rnn_cell_wrapper_v2",
)


class _Placeholder(ModuleType):
    """A module in which every name stands for nothing."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


@contextmanager
def _instead(modules: dict[str, ModuleType | None]) -> Iterator[None]:
    """Let an import of the named modules give these, or fail for None, until the end of the block.

    What has been imported already stays as it is.
    """
    missing = {name: module for name, module in modules.items() if name not in sys.modules}
    sys.modules.update(missing)  # type: ignore[arg-type]  # None is meant: no module
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]


class _OnFirstUse(MetaPathFinder):
    """Finds the modules in which TensorFlow lists its interface, and loads each on first use.

    They hold names alone, of which one program uses few. TensorFlow starts a fifth faster so, and
    takes 70 MB less. (The modules of its first version replace themselves as they load, for which
    they have to be loaded at once.)
    """

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        spec = None
        if fullname.startswith("tensorflow._api.v2.") and ".v1" not in fullname:
            spec = PathFinder.find_spec(fullname, path, target)
            if spec and spec.loader:
                spec.loader = LazyLoader(spec.loader)
        return spec


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Make objects that live as long as the process, none of which is searched for garbage.

    The search takes a fifth of TensorFlow's import, and as much again when the process ends.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()


sys.meta_path.insert(0, _OnFirstUse())
with (
    _start_up_notes_held_back(),
    _instead(dict.fromkeys(_NOT_FOR_KERAS)),
    _without_garbage_collection(),
):
    import keras
    import tensorflow as tf
    from tensorflow.compiler.tf2xla.python.xla import optimization_barrier

    with _instead({name: _Placeholder(name) for name in _OLDER_KERAS}):
        dir(tf.nn)  # its first use, which takes SciPy where it finds it
    for _name in ("RNNCellDeviceWrapper", "RNNCellDropoutWrapper", "RNNCellResidualWrapper"):
        delattr(tf.nn, _name)
    # These packages are namesakes of parts of the interface: imported on first use, they would take
    # their places in `tf`.
    import_module("tensorflow.lite")
    import_module("tensorflow.python.distribute.experimental.rpc.rpc_ops")
    for _name in ("distribute", "lite"):
        setattr(tf, _name, sys.modules[f"tensorflow._api.v2.{_name}"])

__all__ = ["keras", "load_model", "optimization_barrier", "save_model", "set_seed", "tf"]

# What a person may have set otherwise in a file of Keras' own, in the home folder.
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_image_data_format("channels_last")
# The number of threads decides the order of additions, the number of cores must not.
# One is also the fastest for a compiled epoch of small batches: handing work over
# between threads costs more than it brings.
THREADS = 1
tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(THREADS)
tf.config.experimental.enable_op_determinism()
# TensorFlow wonders at programs compiled for each of many models, which is meant.
tf.get_logger().setLevel("ERROR")
with _start_up_notes_held_back():
    tf.constant(0)  # starts the runtime, with the settings above

# The earliest time that a zip archive can hold.
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, from which the initial weights follow."""
    keras.utils.set_random_seed(seed)


def save_model(model: Any, path: Path) -> None:
    """Save a model in Keras' own format, in bytes that depend on the model alone.

    Keras writes the date, the time of day in the zip entries, and memory addresses as
    `shared_object_id`. The date is dropped, the times are fixed, the ids are numbered
    in their order of appearance; plain Keras loads the result as any other.

    Args:
        model: a Keras model whose layers have names of their own: automatic names
            count up through the life of a process.
        path: ends in `.keras`.
    """
    as_saved = path.with_name(f"{PARTIAL_PREFIX}as-saved.keras")
    try:
        model.save(as_saved)
        with zipfile.ZipFile(as_saved) as source, zipfile.ZipFile(path, "w") as target:
            for name in sorted(source.namelist()):
                content = _canonical(name, source.read(name))
                target.writestr(zipfile.ZipInfo(name, _ZIP_EPOCH), content)
    finally:
        as_saved.unlink(missing_ok=True)


def load_model(path: Path) -> Any:
    """Load a model in Keras' safe mode, which runs no code from the file.

    Raises:
        UserError: the file is missing or no Keras model.
    """
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        reason = "is missing" if not path.exists() else f"is no Keras model ({error})"
        raise UserError(f"{path} {reason}: make it with `dvc repro train`") from None


def _canonical(name: str, content: bytes) -> bytes:
    """The content of one entry of a `.keras` archive, without date and addresses."""
    if not name.endswith(".json"):
        return content
    tree = json.loads(content)
    tree.pop("date_saved", None)
    _renumber(tree, {})
    return json.dumps(tree, sort_keys=True).encode()


def _renumber(tree: Any, ids: dict[int, int]) -> None:
    """Replace each `shared_object_id` in place by its rank of first appearance."""
    if isinstance(tree, dict):
        if "shared_object_id" in tree:
            address = tree["shared_object_id"]
            tree["shared_object_id"] = ids.setdefault(address, len(ids))
        for key in sorted(tree):
            _renumber(tree[key], ids)
    elif isinstance(tree, list):
        for item in tree:
            _renumber(item, ids)
