"""Base class of step caches given by a table of computed steps, layers and branches."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.families.forward import BranchReuse, Forward, Held, Latents
from chorus_jax.intra_request.fitting import RunProperties
from chorus_jax.intra_request.grains import NO_BRANCHES, reusing
from chorus_jax.intra_request.history import NONE, due
from chorus_jax.nets.control import PerLayer
from chorus_jax.schedulers.flow import Schedule


class BranchState(NamedTuple):
    """State of the branches of all layers.

    Attributes:
        outputs: the last computed output of each branch and layer.
        last: the last step that was run, per row of the pass; `NONE` before the first.
    """

    outputs: PerLayer
    last: Int[Array, " r"]


class BranchTable:
    """A step cache that reuses the outputs of layers' branches by a fixed table.

    Gates and residual connections always run, and so does attention whose keys a region
    needs. A subclass gives the table. The reported work is the share of the table that
    is computed, with all branches of a layer counted equally.
    """

    extrapolates = False  # not a field (see `extrapolating`): the last outputs

    def table(
        self, schedule: Schedule, layers: int, names: tuple[str, ...]
    ) -> Bool[np.ndarray, "steps layers branches"]:
        """Whether each branch of each layer is computed in each step.

        Raises:
            ValueError: for a run or a model that the table does not fit.
        """
        raise NotImplementedError

    def check(self, run: RunProperties) -> None:
        """Raises a ValueError for a run or a model that the table does not fit."""
        self.table(run.schedule, run.layers, run.branches)

    def init(self, forward: Forward) -> BranchState:
        """The state before the first step.

        Raises:
            ValueError: for a family whose layers have no branches to reuse.
        """
        if not forward.branch_names:
            raise ValueError(NO_BRANCHES)
        outputs = forward.unknown_branches()
        last = jnp.full(outputs[0].shape[1], NONE, jnp.int32)
        return BranchState(PerLayer(outputs), last)

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: BranchState,
    ) -> tuple[Latents, Held, BranchState, Float[Array, " b"]]:
        """The pass with the branches that the table computes in this step (see
        `StepCache.step`)."""
        earlier, here = state.outputs.arrays, forward.rows(i)
        layers, names = earlier[0].shape[0], forward.branch_names
        table = self.table(schedule, layers, names)
        compute = due(table, state.last, here) | (state.last == NONE)[:, None, None]
        reuse = BranchReuse(earlier, jnp.moveaxis(compute, 0, -1))
        velocity, held, outputs = reusing(forward, held, reuse)
        after = BranchState(outputs, here)
        spent = compute | jnp.array(forward.needed_branches)[None, None]
        share = spent.astype(jnp.float32).mean(axis=(1, 2))
        work = share.reshape(-1, len(i)).mean(axis=0)
        return velocity, held, after, work


def check_fits(what: str, shape: tuple[int, ...], run: tuple[int, ...]) -> None:
    """Raises a ValueError for a table of another shape than the run's.

    Args:
        what: the table's entries in words, for the message.
        shape: the numbers of steps, layers and branches of the table.
        run: the same numbers of the run.
    """
    if shape != run:
        raise ValueError(
            f"{what} are of (steps, layers, branches) {shape}, the run has {run}: "
            "measure them for it with `chorus calibrate-cache`"
        )


def layered(
    steps: int, layers: int, names: tuple[str, ...]
) -> Bool[np.ndarray, "steps layers branches"]:
    """A table that computes everything."""
    return np.ones((steps, layers, len(names)), bool)
