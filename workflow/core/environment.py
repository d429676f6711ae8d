"""The environment variables that make results independent of the processor.

Numerical libraries pick their code by the processor that they find, and a wider
vector unit adds in another order. So the libraries are held to AVX2 with FMA, which every
x86-64 processor since 2013 has. What XLA compiles may use AVX-512, and NEON or SVE on ARM64: there,
each sum is one chain of additions whichever the width, so that the bits are the same and the time
is not. The values belong to the locked versions of the packages: XLA, for one, stops the program
at a flag that it does not know.
"""

import os
import sys
from pathlib import Path

_AVX512 = "X86_V4 AVX512_ICL AVX512_SPR"  # as NumPy calls them


def _processor_has(feature: str) -> bool:
    """Whether Linux names a feature of this processor; False on other systems."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and feature in cpuinfo.read_text(encoding="utf-8").split()


# How XLA cuts matrix products: rows, terms of the sum, columns in vectors. It decides what is
# kept in registers, hence the time, and never the bits: 6 rows of 2 vectors fill the 16 registers
# of AVX2, 8 of 2 suit the 32 of AVX-512. With more than 2 vectors XLA writes past the end of
# results whose width is no multiple of them all.
_GEMM_TILE = "8:8:2*vectwidth" if _processor_has("avx512f") else "6:16:2*vectwidth"

# XLA stops at these on other architectures.
_XLA_FLAGS_OF_X86_64 = ("--xla_cpu_max_isa=AVX512", "--xla_cpu_prefer_vector_width=512")
_XLA_FLAGS = (
    # No kernel library that goes by the processor.
    "--xla_cpu_experimental_ynn_fusion_type=",
    # Each program runs on the thread that calls it. Else parts of it wait for TensorFlow's own
    # thread, of which there is one, and two programs at once take as long as one after the other.
    "--xla_cpu_enable_concurrency_optimized_scheduler=false",
    # No Eigen either, which cuts its sums by the size of the first-level cache: matrix products
    # are compiled (those that workflow/sums.py writes).
    "--xla_cpu_multi_thread_eigen=false",
    "--xla_backend_extra_options=xla_force_enable_experimental_llvm_ir_gemm,"
    f"xla_llvm_ir_gemm_tile_size={_GEMM_TILE},"
    # What reads the same arrays is one pass over them, such as Adam's two moments. (What is fused
    # also decides which products and sums are rounded as one, hence bits.)
    "xla_cpu_use_multi_output_fusion,"
    # No estimates of reciprocal square roots, whose last bits are the processor maker's own.
    "xla_cpu_disable_platform_dependent_math,"
    # Short loops stay loops. Unrolled, they are cut into vectors of what suits the processor, and
    # with them what is rounded as one.
    "xla_cpu_disable_loop_unrolling,"
    # A loop that sums stays a chain of fused multiply-adds. On ARM64, LLVM would multiply in
    # vectors and then add one after the other: in the same order, but rounded once more.
    "-force-ordered-reductions=false,"
    # Transposing in tiles relies on such unrolling: without it, plain loops are twice as fast.
    "xla_cpu_disable_tiled_emitter",
)
# Read once, when the library is first imported.
_X86_64 = {
    "XLA_FLAGS": " ".join((*_XLA_FLAGS_OF_X86_64, *_XLA_FLAGS)),
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": _AVX512,
}
_ARM64 = {"XLA_FLAGS": " ".join(_XLA_FLAGS), "OPENBLAS_CORETYPE": "ARMV8"}
_EVERYWHERE = {
    # Keras asks for its backend here and TensorFlow for compiler options of its own, both of which
    # a person may have set for other work.
    "KERAS_BACKEND": "tensorflow",
    "TF_XLA_FLAGS": "",
    "KERAS_NNX_ENABLED": "false",
    # How matplotlib draws, and how it draws letters.
    "MPLBACKEND": "agg",
    "FREETYPE_PROPERTIES": "",
    # Packages that happen to be installed have no say in which params are valid.
    "PYDANTIC_DISABLE_PLUGINS": "__all__",
    # The stages print what a person needs; TensorFlow's start-up notes are not that.
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
_READ_AT_IMPORT_BY = ("tensorflow", "numpy")


def required() -> dict[str, str]:
    """The variables that this machine's architecture needs, with their values."""
    of_architecture = {"x86_64": _X86_64, "aarch64": _ARM64, "arm64": _ARM64}
    return _EVERYWHERE | of_architecture.get(os.uname().machine, {})


def is_set() -> bool:
    """Whether every variable has its value."""
    return all(os.environ.get(name) == value for name, value in required().items())


def apply() -> None:
    """Set the variables.

    Raises:
        RuntimeError: a library that reads them has been imported already, so that they
            would come too late and the bits would depend on this machine.
    """
    late = [name for name in _READ_AT_IMPORT_BY if name in sys.modules]
    if late and not is_set():
        raise RuntimeError(
            f"{late[0]} was imported before `workflow`: import `workflow` first, so that"
            " the results do not depend on this processor"
        )
    os.environ.update(required())
