"""Similarities of the outputs of layers' branches in full runs, and BAC's fit to them.

`profiling_fit` fits ProfilingDiT to them.
"""

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
# Cosine similarities, mean distances and relative changes (see `BranchSimilarity`).
BranchFigures = tuple[
    Float[np.ndarray, "l branches steps steps"],
    Float[np.ndarray, "l branches"],
    Float[np.ndarray, "l branches steps steps"],
]


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
        changes: the distance of the outputs at a step (row) and a later one (column),
            relative to the mean magnitude of the later one, averaged over runs.
        names: the names of the branches.
        switch: the first step of a second expert; 0 with one transformer.
    """

    cosines: Float[np.ndarray, "l branches steps steps"]
    distances: Float[np.ndarray, "l branches"]
    changes: Float[np.ndarray, "l branches steps steps"]
    names: tuple[str, ...]
    switch: int = 0

    @classmethod
    def of(
        cls, runs: Sequence[BranchFigures], names: tuple[str, ...], switch: int = 0
    ) -> "BranchSimilarity":
        """The similarities in runs of `BranchRecorder` with one request each.

        Args:
            runs: the figures of each run (see `measured`).
            names: the names of the branches.
            switch: the first step of a second expert, which reuses nothing from before
                it; 0 with one transformer.
        """
        means = (np.mean(x, axis=0) for x in zip(*runs))
        cosines, distances, changes = means
        cosines[..., :switch, switch:] = -1.0
        return cls(cosines, distances, changes, names, switch)

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


def measured(state: RunState) -> BranchFigures:
    """The cosine similarities, mean distances and relative changes of one run (see
    `BranchSimilarity`).

    There is a record per expert, which is zero at the steps of the other expert.
    """
    cosines, distances, changes = [], [], []
    for records in zip(*state.caches):
        parts = [np.asarray(record[0], np.float32) for record in records]
        steps = np.sum(parts, axis=0)
        layers = np.moveaxis(steps, 1, 0).reshape(steps.shape[1], len(steps), -1)
        sizes = np.linalg.norm(layers, axis=2)
        products = layers @ layers.transpose(0, 2, 1)
        cosines.append(products / np.maximum(sizes[:, :, None] * sizes[:, None], TINY))
        apart, magnitudes = distances_of(layers), np.abs(layers).mean(axis=2)
        distances.append(apart[:, *np.triu_indices(len(steps), 1)].mean(axis=1))
        changes.append(apart / np.maximum(magnitudes[:, None], TINY))
    stacked = lambda branches: np.stack(branches, axis=1)
    return stacked(cosines), stacked(distances), stacked(changes)


def distances_of(
    outputs: Float[np.ndarray, "l steps n"],
) -> Float[np.ndarray, "l steps steps"]:
    """The mean distance (L1) of each step's output (row) to each later one's (column);
    0 elsewhere."""
    layers, steps, _ = outputs.shape
    apart = np.zeros((layers, steps, steps), np.float32)
    # One lag at a time: all pairs of steps would need many times the record.
    for lag in range(1, steps):
        pairs = np.abs(outputs[:, lag:] - outputs[:, :-lag]).mean(axis=2)
        rows = np.arange(steps - lag)
        apart[:, rows, rows + lag] = pairs
    return apart
