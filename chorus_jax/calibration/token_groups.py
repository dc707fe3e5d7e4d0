"""Nested groups of the tokens of full runs, by how much their velocities change."""

from dataclasses import dataclass, replace
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int32

from chorus_jax.calibration.cache_runs import CacheRuns
from chorus_jax.calibration.recorded_run import RecordedRun
from chorus_jax.calibration.sensitivity import path_of
from chorus_jax.denoise.budgeted import relative_change
from chorus_jax.denoise.state import RunState
from chorus_jax.denoise.tiles import tiles_of
from chorus_jax.request import Request
from chorus_jax.token_budgets.schedule import size_of

SHARES = (0.25, 0.5, 1.0)  # the shares of the tokens that a step may run
EARLY = 0.08  # the share of the steps that run all tokens and rank them

Products = Float[np.ndarray, "groups steps steps"]


@dataclass(frozen=True, eq=False)
class GroupedRun(RecordedRun):
    """A full run of one request, with its tokens in nested groups.

    Attributes:
        shares: the shares of the tokens that a step may run; the last is 1.
        early: the number of steps that rank the tokens.
    """

    shares: tuple[float, ...]
    early: int

    @classmethod
    def grouped(
        cls, runs: CacheRuns, request: Request, state: RunState
    ) -> "GroupedRun":
        """Groups a run of a request with `PathRecorder`, given the run's last state."""
        early = max(2, round(EARLY * request.step_count))
        run = cls(runs, request, path_of(state), SHARES, early)
        sizes = {size: x for x, size in zip(SHARES[::-1], run.sizes[::-1])}
        # A small video has too few tiles for some of the shares.
        return replace(run, shares=tuple(sorted(sizes.values())))

    @cached_property
    def tiles(self) -> Float[np.ndarray, "steps t s p"]:
        """The velocities of each tile in all steps."""
        velocities = jax.tree.map(lambda x: jnp.asarray(x[0]), self.path.velocities)
        return np.asarray(tiles_of(self.geometry, velocities))

    @cached_property
    def order(self) -> Int32[np.ndarray, " t"]:
        """The tiles, sorted by falling change of their velocity in the early steps."""
        tiles = jnp.asarray(self.tiles[: self.early])
        change = np.asarray(relative_change(tiles[1:], tiles[:-1])).sum(axis=0)
        # As in a run with token budgets: given tiles last.
        change[[*self.geometry.given_tiles]] = -1.0
        return np.argsort(-change, kind="stable").astype(np.int32)

    @property
    def sizes(self) -> list[int]:
        """The numbers of tiles that a step may run."""
        return [size_of(share, len(self.order)) for share in self.shares]

    @cached_property
    def products(self) -> Products:
        """The inner products of the velocities of every two steps, by group.

        Streams other than the video's belong to the first group, because every step
        that runs any tokens runs them.
        """
        geometry, steps = self.geometry, len(self.tiles)
        cuts = np.split(self.order, self.sizes[:-1])
        flat = [self.tiles[:, tiles].reshape(steps, -1) for tiles in cuts]
        streams = geometry.named(self.path.velocities)
        others = [x[0] for name, x in streams.items() if name != geometry.video]
        flat[0] = np.concatenate([flat[0], *(x.reshape(steps, -1) for x in others)], 1)
        return np.stack([x @ x.T for x in flat])
