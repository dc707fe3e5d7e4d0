"""A step cache says whether it reuses a result or extrapolates from several."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from chorus_jax.families.forward import Held
from chorus_jax.intra_request import EveryStep, SkipSteps
from chorus_jax.intra_request.extrapolating import extrapolates
from chorus_jax.intra_request.mixture import Mixture
from chorus_jax.intra_request.sea import SeaCache
from chorus_jax.intra_request.taylor import TaylorSeer
from chorus_jax.schedulers import Euler
from tests.chorus_jax.intra_request.fake import FakeForward
from tests.chorus_jax.intra_request.members import MANY, MEMBERS, STEPS

SCHEDULE = Euler.spaced(STEPS).schedule
# Beside the table: caches whose settings decide.
ORDERS = {
    "sea-0": SeaCache(MANY, order=0),
    "taylor-0": TaylorSeer(2, order=0),
    "mixture-skip": Mixture(SkipSteps((1, 3)), EveryStep()),
    "mixture-taylor": Mixture(TaylorSeer(2), EveryStep()),
}
ACTIVE = {name: member.active for name, member in MEMBERS.items()} | ORDERS
# What the fake pass has: no branches of layers, and no guidance branches.
GUIDED = ("guidance", "mixture")
RUN = [
    x for x in ACTIVE if x not in GUIDED and (x in ORDERS or not MEMBERS[x].branches)
]
EXTRAPOLATING = {
    *("taylor", "taylor-residual", "taylor-branches", "hicache", "foca", "spectrum"),
    *("racer", "dicache", "sea", "planned", "planned-residual", "planned-tokens"),
    *("mixture", "mixture-taylor"),
}


@dataclass(frozen=True, eq=False)
class Marked(FakeForward):
    """A pass whose layers add a mark per step.

    Attributes:
        marks: the mark of each step.
    """

    marks: Any = None

    def blocks(self, tokens, first=0, last=None, reuse=None):
        tokens, sides = super().blocks(tokens, first, last, reuse)
        return tokens + self.marks[self.i][:, None], sides


def velocities(cache, marks):
    """The velocity of each step."""
    forward = lambda i: Marked(jnp.full(1, i), jnp.ones((STEPS, 1)), marks=marks)

    def step(carry, i):
        here, (held, state) = forward(i), carry
        velocity, held, state, _ = cache.step(here.i, SCHEDULE, here, held, state)
        return (held, state), velocity[0, 0]

    start = Held(jnp.zeros(1, jnp.int32)), cache.init(forward(jnp.int32(0)))
    return jax.lax.scan(step, start, jnp.arange(STEPS))[1]


@pytest.fixture(scope="module")
def used():
    """By member: the number of earlier steps that a step's velocity depends on at
    most."""

    @jax.jit
    def depending():
        marks = jnp.concatenate([jnp.zeros((1, STEPS)), jnp.eye(STEPS)])
        return {x: jax.vmap(partial(velocities, ACTIVE[x]))(marks) for x in RUN}

    counts = {}
    for name, (plain, *marked) in jax.tree.map(np.asarray, depending()).items():
        moved = np.abs(np.stack(marked) - plain) > 1e-3  # by the step of the mark
        counts[name] = int(np.triu(moved, 1).sum(axis=0).max())
    return counts


@pytest.mark.parametrize("name", ACTIVE)
def test_every_member_says_which_it_does(name):
    assert hasattr(ACTIVE[name], "extrapolates")
    assert extrapolates(ACTIVE[name]) == (name in EXTRAPOLATING)


@pytest.mark.parametrize("name", RUN)
def test_it_does_what_it_says(name, used):
    if extrapolates(ACTIVE[name]):
        assert used[name] > 1
    else:
        assert used[name] == (name != "every")
