"""The optimisation of a model: steps, batch size, learning rate and optimiser."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import optax
import optax.contrib
from jaxtyping import Array, Float, Int

ADAM = 0.1  # Adam's learning rate over Muon's


@dataclass(frozen=True)
class TrainingPlan:
    """The optimisation of one model.

    The learning rate rises over the warm-up, stays, and falls to zero at the end: until
    it falls, a run can be made longer.

    Attributes:
        steps: steps in all.
        batch: examples per step.
        learning_rate: the highest learning rate.
        warmup: steps over which it rises, 1 or more.
        decay: the share of the steps over which it falls, above 0 and up to 1.
        average: the decay of the averaged parameters, per step.
        weight_decay: the weight decay of Muon's parameters.
        clip: the largest norm of the gradient.
        seed: the seed of initial parameters and batches.

    Raises:
        ValueError: for numbers out of range.
    """

    steps: int
    batch: int
    learning_rate: float
    warmup: int = 100
    decay: float = 0.3
    average: float = 0.999
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.steps, self.batch, self.warmup) < 1 or not 0 < self.decay <= 1:
            raise ValueError(
                "a plan has at least one step, one example a batch and one step of "
                f"warm-up, and a decay within 0 and 1; got {self}"
            )

    def rate(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """The learning rate of a step."""
        at = jnp.asarray(step, jnp.float32)
        rise = (at + 1) / self.warmup
        fall = (self.steps - at) / (self.decay * self.steps)
        return self.learning_rate * jnp.minimum(1.0, jnp.minimum(rise, fall))

    def optimizer(self) -> optax.GradientTransformation:
        """Muon (Keller Jordan, 2024; arXiv 2502.16982) for kernels, Adam for the rest.

        The learning rate is Muon's, a change relative to an orthogonal matrix; Adam's
        is `ADAM` times it.
        """
        return optax.chain(
            optax.clip_by_global_norm(self.clip),
            optax.contrib.muon(
                self.rate,
                weight_decay=self.weight_decay,
                adam_b2=0.99,
                adam_learning_rate=lambda step: ADAM * self.rate(step),
                muon_weight_dimension_numbers=kernels,
            ),
        )


def kernels(
    params: dict[str, Any],
) -> dict[str, optax.contrib.MuonDimensionNumbers | None]:
    """The kernels as matrices for Muon, from all other axes to the last one.

    Each layer of a stack is a matrix. Parameters other than kernels have None. The
    parameters may be masked by optax.
    """
    return {
        name: _matrix(x.ndim, ".layers." in name) if name.endswith("kernel") else None
        for name, x in params.items()
    }


def _matrix(axes: int, stacked: bool) -> optax.contrib.MuonDimensionNumbers:
    inputs = tuple(range(1 if stacked else 0, axes - 1))
    return optax.contrib.MuonDimensionNumbers(inputs, (axes - 1,))
