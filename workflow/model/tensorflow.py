"""TensorFlow, held to results that are a function of code, params and packages alone.

Every other module takes `tf` and `keras` from here, so that none can be imported without the
environment, the thread counts and the determinism that this module sets.
"""

from workflow.core import environment
from workflow.model.startup import (
    available_cores,
    fast_start,
    keep_freed_memory,
    quiet_start,
    spare_memory,
)

if not environment.is_set():
    raise RuntimeError("the environment is not set: call workflow.core.environment.apply() first")

spare_memory()  # there must be some
keep_freed_memory()
with quiet_start(), fast_start():
    import keras
    import tensorflow as tf

    # Equal bits are for processors: another model of GPU gives another result.
    tf.config.set_visible_devices([], "GPU")

__all__ = ["keras", "set_seed", "tf"]

# What a person may have set otherwise in a file of Keras' own, in the home folder.
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_image_data_format("channels_last")
# Threads within an operation would decide the order of additions, and the number of cores must not.
# Whole programs run side by side where the recipe has them (workflow/model/steps.py).
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(available_cores())
tf.config.experimental.enable_op_determinism()
# TensorFlow warns of a program that is compiled again for each of many models, as is meant here.
tf.get_logger().setLevel("ERROR")


def set_seed(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, from which the initial weights follow."""
    keras.utils.set_random_seed(seed)
