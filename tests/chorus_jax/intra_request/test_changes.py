"""Caches that look at the first layers compute all guidance branches, or none."""

import jax
import jax.numpy as jnp
import pytest

from chorus_jax.families.forward import Held
from chorus_jax.intra_request.dicache import DiCache
from chorus_jax.intra_request.first_block import FirstBlock
from chorus_jax.schedulers import Euler
from tests.chorus_jax.intra_request.fake import FakeForward

STEPS = 8


class OneMoves(FakeForward):
    """Two layers, of which the first moves the second branch and not the first one."""

    @property
    def layers(self):
        return 2

    def blocks(self, tokens, first=0, last=None, reuse=None):
        if first == 0:
            moved = jnp.array([0.0, 3.0])[:, None] * self.i[0].astype(jnp.float32)
            tokens = tokens + 1 + moved
        if last is None:
            tokens = tokens + 100
        return tokens, self.rows(self.i) + 1


@pytest.mark.parametrize(
    "cache", [FirstBlock(0.3, first=1), DiCache(0.3, retention=0.1)], ids=str
)
def test_one_branch_that_moves_is_enough(cache):
    """Else the fresh half would be thrown away, and counted as saved."""
    forward = lambda i: OneMoves(jnp.full(1, i), passes=2)

    def step(carry, i):
        held, state = carry
        here, schedule = forward(i), Euler.spaced(STEPS).schedule
        _, held, state, work = cache.step(here.i, schedule, here, held, state)
        return (held, state), (held.keys, work[0])

    held = Held(jnp.zeros(2, jnp.int32))
    start = (held, cache.init(forward(jnp.int32(0))))
    _, (keys, work) = jax.jit(lambda: jax.lax.scan(step, start, jnp.arange(STEPS)))()
    assert set(work.tolist()) <= {0.5, 1.0} and 0 < work.tolist().count(0.5) < STEPS - 2
    # Both rows were held in the same steps.
    assert (keys[:, 0] == keys[:, 1]).all()
