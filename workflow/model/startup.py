"""How TensorFlow starts and takes memory: quieter and faster. No result depends on it."""

import ctypes
import gc
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from workflow.core.errors import UserError

# What TensorFlow and its threads take before the first image is read, whatever the recipe: 2.7 GB
# on one core and 2.8 GB on two were enough, and 0.1 GB less was not.
_ADDRESS_SPACE = 2_800_000_000
_ADDRESS_SPACE_A_CORE = 100_000_000


def available_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def spare_memory() -> int:
    """The bytes that the machine, and `ulimit -v`, have for a model beside TensorFlow itself.

    A container's limit on resident memory is not asked: the kernel takes back pages of libraries
    and of files, and what is left depends on the others in there, so that no size is too small for
    certain.

    Raises:
        UserError: `ulimit -v` allows less than TensorFlow takes. A library would end the process,
            with pages of notes or without a word.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    allowed, _ = resource.getrlimit(resource.RLIMIT_AS)
    if allowed == resource.RLIM_INFINITY:
        return memory
    taken = _ADDRESS_SPACE + _ADDRESS_SPACE_A_CORE * available_cores()
    if allowed < taken:
        raise UserError(
            f"TensorFlow needs {taken / 1e9:.1f} GB of address space, and `ulimit -v` allows"
            f" {allowed / 1e9:.1f} GB: allow more, and run it again"
        )
    return min(memory, allowed - taken)


@contextmanager
def quiet_start() -> Iterator[None]:
    """Hold back what TensorFlow's libraries print while they load, and show it only on failure.

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


@contextmanager
def fast_start() -> Iterator[None]:
    """Do not search for garbage among objects that live as long as the process.

    The search takes a fifth of TensorFlow's import, and as much again when the process ends.
    """
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()


def keep_freed_memory() -> None:
    """Let the C library keep what is freed for what is asked for next, where it is glibc.

    A compiled program takes its memory for temporaries anew at each call. By default glibc fetches
    much of it from the system each time, in pages of zeros, which takes longer than to compute.
    """
    trim_threshold, mmap_max, arena_max = -1, -4, -8  # from malloc.h
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**30)
        mallopt(arena_max, 1)  # what threads have of their own ends at 64 MB
