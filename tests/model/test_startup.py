"""How TensorFlow starts changes nothing but the time, and hides nothing that matters."""

import subprocess
import sys

import pytest
from projects import ROOT, Project

from workflow.model.tensorflow import keras, tf


@pytest.mark.slow
def test_training_gives_the_same_bytes_without_a_fast_and_quiet_start(tiny_clone: Project) -> None:
    model = tiny_clone.root / "models/model.keras"
    before = model.read_bytes()
    model.unlink()
    code = """
import contextlib, gc
from workflow.model import startup
startup.fast_start = startup.quiet_start = contextlib.nullcontext
from workflow.core.stage import run_stage
run_stage("train")
print("frozen", gc.get_freeze_count())
"""
    assert "frozen 0\n" in tiny_clone.ok("python", "-c", code)
    assert model.read_bytes() == before


def test_what_libraries_print_is_shown_only_on_failure() -> None:
    code = """
import os, sys
from workflow.model.startup import quiet_start
with quiet_start():
    os.write(2, b"a note\\n")
os.write(2, b"after\\n")
with quiet_start():
    os.write(2, b"the cause\\n")
    raise SystemError("broken")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr.startswith("after\nthe cause\nTraceback")
    assert done.stderr.endswith("SystemError: broken\n")


def test_an_operation_has_one_thread_and_keras_has_its_defaults() -> None:
    assert tf.config.threading.get_intra_op_parallelism_threads() == 1
    assert (keras.config.floatx(), keras.config.epsilon()) == ("float32", 1e-7)
    assert keras.config.image_data_format() == "channels_last"
