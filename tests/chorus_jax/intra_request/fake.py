"""A fake forward pass, whose outputs tell the step in which they were computed."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from chorus_jax.families.forward import Held
from chorus_jax.schedulers import Euler


@dataclass(frozen=True, eq=False)
class FakeForward:
    """Layers add 10 i to the tokens, and hold i + 1; the latents are i.

    Attributes:
        i: the step of each request.
        table: the signal of each step (and row).
        passes: rows per request.
    """

    i: Any
    table: Any = None
    passes: int = 1

    @property
    def latents(self):
        return self.i.astype(jnp.float32)[:, None]

    def rows(self, x):
        return jnp.concatenate([x] * self.passes)

    def moves(self):
        return None

    def signal(self, name):
        if name not in ("embedding", "modulation"):
            raise ValueError(f"no signal {name!r}")
        return self.table[self.rows(self.i)]

    def stem(self):
        return self.rows(self.latents)

    def blocks(self, tokens, first=0, last=None, reuse=None):
        step = self.rows(self.i)
        return tokens + 10 * step.astype(jnp.float32)[:, None], step + 1

    def head(self, tokens):
        return tokens[: len(self.i)]

    def hold(self, held, *sides):
        return Held(sides[0])

    @property
    def layers(self):
        return 1

    @property
    def branch_names(self):
        return ()

    @property
    def needed_branches(self):
        return ()

    def branches(self, *sides):
        return ()

    def unknown_branches(self):
        return ()


def run(cache, first, last, steps=None, table=None, passes=1, rows=1, schedule=None):
    """Velocities, what is held, and the work of these steps, each [steps rows]."""
    schedule = schedule or Euler.spaced(steps or last).schedule
    table = None if table is None else jnp.asarray(table, jnp.float32)

    def forward(i):
        return FakeForward(jnp.full(rows, i), table, passes)

    def step(carry, i):
        held, state = carry
        here = forward(i)
        out, held, state, work = cache.step(here.i, schedule, here, held, state)
        return (held, state), (out[:, 0], held.keys, work)

    held = Held(jnp.zeros(rows * passes, jnp.int32))
    start = (held, cache.init(forward(jnp.int32(first))))
    return jax.jit(lambda: jax.lax.scan(step, start, jnp.arange(first, last))[1])()
