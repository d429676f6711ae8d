"""The optimizers of a recipe, and the schedules of their learning rate."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from workflow.core.validation import Strict
from workflow.model.tensorflow import keras, tf

# What is no kernel: to shrink it would not make a model simpler.
_NOT_DECAYED = ["bias", "gamma", "beta"]


class Optimizer(Strict):
    """What the optimizers have in common.

    Attributes:
        keras_class: of the Keras optimizer.
        learning_rate: the highest one, where there is a schedule.
        weight_decay: the share of each kernel that an update takes away, times the learning rate
            and apart from the gradient (Loshchilov and Hutter, 2019).
    """

    keras_class: ClassVar[Any]

    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    def build(self, rates: NDArray[np.float32] | None = None, ema_decay: float = 0.0) -> Any:
        """The `keras.optimizers.Optimizer`.

        Args:
            rates: the learning rate of each update; `learning_rate` by default.
            ema_decay: of the moving average of the weights; 0 for none.
        """
        settings = self.model_dump(exclude={"name", "learning_rate", "weight_decay"})
        if ema_decay:
            settings |= {"use_ema": True, "ema_momentum": ema_decay}
        rate = self.learning_rate if rates is None else _Rates(rates)
        optimizer = self.keras_class(rate, weight_decay=self.weight_decay or None, **settings)
        if self.weight_decay:
            optimizer.exclude_from_weight_decay(var_names=_NOT_DECAYED)
        return optimizer


class Adam(Optimizer):
    """Kingma and Ba (2015), with Keras' defaults for what is not named; with decay, AdamW."""

    name: Literal["adam"]

    keras_class = keras.optimizers.Adam


class KerasSgd(keras.optimizers.SGD):  # type: ignore[misc]
    """Keras' SGD, whose momentum breaks rule 5 of workflow/model/sums.py, written without that."""

    def build(self, variables: Sequence[Any]) -> None:
        """Make the variables that updates need."""
        super().build(variables)
        references = (variable.value.ref() for variable in variables)
        self._velocities = dict(zip(references, self.momentums, strict=bool(self.momentum)))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Keras': `velocity = momentum * velocity - rate * gradient`, to be added to a weight."""
        if not self.momentum:
            super().update_step(gradient, variable, learning_rate)
            return
        velocity, share = self._velocities[variable.ref()], self.momentum / learning_rate
        velocity.assign((velocity * share - gradient) * learning_rate)
        step = (velocity * share - gradient) * learning_rate if self.nesterov else velocity
        variable.assign_add(step)


class Sgd(Optimizer):
    """Stochastic gradient descent, with momentum if any, as Nesterov (1983) has it or not."""

    name: Literal["sgd"]
    momentum: float = Field(default=0.0, ge=0, lt=1)
    nesterov: bool = False

    keras_class = KerasSgd

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> "Sgd":
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs momentum: set it, such as 0.9")
        return self


AnyOptimizer = Annotated[Adam | Sgd, Field(discriminator="name")]


class Schedule(Strict):
    """How the learning rate moves over all updates of a training.

    Attributes:
        name: `constant`; `cosine`, half a cosine down to 0 (Loshchilov and Hutter, 2017); or
            `linear`, down to 0 (with a warm-up, the one cycle of Smith and Topin, 2019).
        warm_up: the share of the updates in which it first rises linearly (Goyal et al., 2017).
    """

    name: Literal["constant", "cosine", "linear"]
    warm_up: float = Field(default=0.0, ge=0, lt=1)

    def rates(self, highest: float, updates: int) -> NDArray[np.float32]:
        """The learning rate of each update, (updates,).

        They are rounded to six digits: the last ones of a cosine are the C library's own.
        """
        rising = round(self.warm_up * updates)
        factors = [(n + 1) / (rising + 1) for n in range(rising)]
        for n in range(updates - rising):
            left = 1 - n / (updates - rising)
            shape = {"constant": 1.0, "linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2}
            factors.append(shape[self.name])
        return np.array([float(f"{highest * factor:.6g}") for factor in factors], np.float32)


class _Rates(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A table as Keras' schedule."""

    def __init__(self, rates: NDArray[np.float32]) -> None:
        self._rates = rates

    def __call__(self, step: Any) -> Any:
        return tf.gather(tf.constant(self._rates), step)
