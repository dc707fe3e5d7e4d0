"""Fits BAC's update steps to the outputs of layers' branches in full runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from chorus_jax.calibration.velocity_runs import recorded
from chorus_jax.denoise.state import RunState
from chorus_jax.families.forward import BranchReuse, Forward, Held, Latents
from chorus_jax.intra_request.bac import BAC, best_updates, bubbled
from chorus_jax.intra_request.changes import TINY
from chorus_jax.intra_request.grains import named_grain, reusing
from chorus_jax.schedulers.flow import Schedule

SAMPLED = 64  # the number of evenly spread tokens whose outputs are recorded
VOLATILE = 5  # layers that take over later updates; our choice

Outputs = tuple[Float[Array, "b steps l k c"], ...]


@dataclass(frozen=True)
class BranchRecorder:
    """Computes every step and records branch outputs of the prompt's guidance branch.

    Of each output some tokens are kept; for 50 steps of Wan 1.3B that is 1.8 GB.

    Attributes:
        steps: the number of steps of the run.
        sampled: the most tokens that are kept per output.
    """

    steps: int
    sampled: int = SAMPLED

    def init(self, forward: Forward) -> Outputs:
        """Zeros with room for the outputs of all steps, one array per branch."""
        count = len(jax.tree.leaves(forward.latents)[0])
        return tuple(
            jnp.zeros((count, self.steps, len(x), len(self.places(x)), x.shape[-1]))
            for x in named_grain("branches").shapes(forward).arrays
        )

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: Outputs,
    ) -> tuple[Latents, Held, Outputs, Float[Array, " b"]]:
        """Computes the whole pass and records its outputs (see `StepCache.step`)."""
        earlier = forward.unknown_branches()
        every = (len(earlier[0]), len(earlier), earlier[0].shape[1])
        reuse = BranchReuse(earlier, jnp.ones(every, bool))
        velocity, held, outputs = reusing(forward, held, reuse)
        sampled = [
            jnp.moveaxis(x[:, : len(i), self.places(x)], 1, 0).astype(jnp.float32)
            for x in outputs.arrays
        ]
        return velocity, held, recorded(state, i, tuple(sampled)), jnp.ones(i.shape)

    def places(self, outputs: Any) -> Int[np.ndarray, " k"]:
        """The tokens that are kept of an output [l r n c]."""
        n = outputs.shape[2]
        return np.unique(
            np.linspace(0, n - 1, min(n, self.sampled)).round().astype(int)
        )


@dataclass(frozen=True, eq=False)
class BranchSimilarity:
    """Similarities between the outputs of a branch at any two steps, by layer.

    Attributes:
        cosines: cosine similarity of the outputs at two steps, averaged over runs.
        distances: the mean distance (L1) of the outputs at two steps, averaged over
            pairs of steps and over runs.
        names: the names of the branches.
    """

    cosines: Float[np.ndarray, "l branches steps steps"]
    distances: Float[np.ndarray, "l branches"]
    names: tuple[str, ...]

    @classmethod
    def of(
        cls, states: Sequence[RunState], names: tuple[str, ...], switch: int = 0
    ) -> "BranchSimilarity":
        """The similarities in runs of `BranchRecorder` with one request each.

        Args:
            states: the last state of each run.
            names: the names of the branches.
            switch: the first step of a second expert, which reuses nothing from before
                it; 0 with one transformer.
        """
        cosines, distances = zip(*(measured(state) for state in states))
        mean = np.mean(cosines, axis=0)
        mean[..., :switch, switch:] = -1.0
        return cls(mean, np.mean(distances, axis=0), names)

    def cache(self, count: int) -> BAC:
        """BAC with `count` updates per branch before the bubbling union."""
        updates = tuple(
            tuple(best_updates(cosine, count) for cosine in layer)
            for layer in self.cosines
        )
        for branch, name in enumerate(self.names):
            if name.endswith("mlp"):
                order = np.argsort(-self.distances[:, branch])
                volatile = sorted(order[:VOLATILE].tolist())
                updates = bubbled(updates, volatile, branch)
        return BAC(updates, self.cosines.shape[-1])


def measured(
    state: RunState,
) -> tuple[
    Float[np.ndarray, "l branches steps steps"], Float[np.ndarray, "l branches"]
]:
    """The cosine similarities and mean distances of one run (see `BranchSimilarity`).

    There is a record per expert, which is zero at the steps of the other expert.
    """
    cosines, distances = [], []
    for records in zip(*state.caches):
        parts = [np.asarray(record[0], np.float32) for record in records]
        steps = np.sum(parts, axis=0)
        layers = np.moveaxis(steps, 1, 0).reshape(steps.shape[1], len(steps), -1)
        sizes = np.linalg.norm(layers, axis=2)
        products = layers @ layers.transpose(0, 2, 1)
        cosines.append(products / np.maximum(sizes[:, :, None] * sizes[:, None], TINY))
        # One lag at a time: all pairs of steps would need many times the record.
        pairs = [
            np.abs(layers[:, n:] - layers[:, :-n]).mean(axis=2)
            for n in range(1, len(steps))
        ]
        distances.append(np.concatenate(pairs, axis=1).mean(axis=1))
    return np.stack(cosines, axis=1), np.stack(distances, axis=1)
