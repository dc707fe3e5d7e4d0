"""Forecasts of the velocities of tokens that a step does not run.

A step cache whose weights are known before the run forecasts each token from the
token's own last velocities. The steps in which a token is run follow from its rank, so
the weights of all steps and ranks are tables made before the run.
"""

from dataclasses import dataclass
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int, Int32

from chorus_jax.denoise.tiles import taken
from chorus_jax.denoise.token_scope import TokenScope, merged
from chorus_jax.families.forward import Latents
from chorus_jax.intra_request.history import NONE
from chorus_jax.intra_request.scheduled import ScheduledCache
from chorus_jax.schedulers.flow import Schedule

Velocities = tuple[Latents, ...]


@dataclass(frozen=True)
class TokenForecasts:
    """The forecasts of a step cache in steps with the given active tiles.

    Attributes:
        cache: the step cache.
        first: the first step.
        sets: the ranks of the active tiles in each step.
        tiles: the number of tiles.
    """

    cache: ScheduledCache
    first: int
    sets: tuple[tuple[int, ...], ...]
    tiles: int

    def past(self) -> Int[np.ndarray, "steps rows k"]:
        """For each step and rank the last steps that ran the tile, newest first.

        The last row has the last steps that ran any tile.
        """
        now = np.full((self.tiles + 1, self.cache.depth), NONE)
        past = []
        for i, ranks in enumerate(self.sets, self.first):
            rows = [*ranks, self.tiles] if ranks else []
            now[rows, 1:], now[rows, 0] = now[rows, :-1], i
            past.append(now.copy())
        return np.stack(past)

    def weights(self, schedule: Schedule) -> Float32[np.ndarray, "steps rows k"]:
        """The weights of each tile's last velocities, by step and rank (see `past`).

        A tile that is run takes the velocity of this step.
        """
        past = self.past()
        at = np.arange(self.first, self.first + len(past))[:, None]
        steps = np.broadcast_to(at, past.shape[:2])
        rows = np.concatenate([steps[..., None], past], axis=2)
        rows, where = np.unique(
            rows.reshape(-1, rows.shape[2]), axis=0, return_inverse=True
        )
        with jax.ensure_compile_time_eval():
            i, known = jnp.asarray(rows[:, 0]), jnp.asarray(rows[:, 1:])
            table = np.asarray(self.cache.weights(known, i, schedule), np.float32)
        weights = table[where.reshape(-1)].reshape(past.shape)
        weights[past[..., 0] == at] = np.eye(past.shape[2])[0]
        return weights

    def __call__(
        self,
        scope: TokenScope,
        i: Int[Array, " b"],
        velocities: Velocities,
        order: Int32[Array, "b t"],
    ) -> Latents:
        """The velocities of all tokens of the scope at step `i`.

        Streams other than the video's are run in all steps that run any tile, and are
        forecast from these.

        Args:
            scope: the tokens.
            i: the step, which is the same for all requests.
            velocities: each token's last velocities, newest first.
            order: the tiles by rank.
        """
        weights = jnp.asarray(self.weights(scope.run.solver.schedule))
        now = weights[i[0] - self.first]
        whole = now[-1]
        tiles = now[jnp.argsort(order, axis=1)]
        added = lambda *x: sum((w * v for w, v in zip(whole, x)), jnp.zeros(()))
        others = jax.tree.map(lambda *x: added(*x).astype(x[0].dtype), *velocities)
        patches = [scope.tiles(velocity) for velocity in velocities]
        rows = [tiles[:, :, k, None, None] for k in range(len(patches))]
        total = sum((w * v for w, v in zip(rows, patches)), jnp.zeros(()))
        return scope.replaced(others, total.astype(patches[0].dtype))


def pushed(
    scope: TokenScope, before: Velocities, fresh: Latents, rows: Int[Array, "b k"]
) -> Velocities:
    """The last velocities of all tokens after a pass of the tiles `rows`.

    Args:
        scope: the tokens.
        before: the last velocities before the pass, newest first.
        fresh: the pass's velocity, with the patches of these tiles alone.
        rows: the indices of the tiles within the scope.
    """
    after = [merged(scope, before[0], fresh, rows)]
    for newer, older in pairwise(before):
        patches = taken(scope.tiles(newer), rows)
        moved = scope.run.geometry.replaced(newer, patches)
        after.append(merged(scope, older, moved, rows))
    return tuple(after)
