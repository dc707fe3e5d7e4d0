"""The denoising loop: a model, a solver and what one request conditions on.

`prepare` makes once what every step shares; `denoise` runs any range of steps in one
jitted call, without a word to the host in between. It compiles once a solver (that is,
once a schedule), shape and guidance or none: the range is data. It knows nothing of
prompts or files.
"""

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int, Integer

from chorus_jax.devices.sharding import constrain
from chorus_jax.families.wan.attention import Context
from chorus_jax.families.wan.dit import Times, WanDiT
from chorus_jax.nets.rotary import rotary_table
from chorus_jax.schedulers import Solver

# Steps given to the device before the host waits for the oldest: two keep it busy.
AHEAD = 2


class Conditions(NamedTuple):
    """What every step of a run reads; made by `prepare`.

    With guidance the context's rows are all requests, then their negative prompts.
    """

    context: Context
    times: Times
    rotary: Float32[Array, "2 n r"]
    guidance: Float32[Array, " b"] | None


class Run(NamedTuple):
    """What a step hands to the next: latents, and the solver's own state."""

    latents: Float32[Array, "b f h w i"]
    solver: Any


@partial(jax.jit, static_argnames=("solver",))
def start(latents: Float32[Array, "b f h w i"], *, solver: Solver) -> Run:
    """A run at these latents, which stay the caller's; they may be of any step."""
    # Copies: a run is donated, and no array may be donated twice or while in use.
    return jax.tree.map(jnp.copy, Run(latents, solver.init(latents)))


def noise(
    seeds: Integer[Array, " b"], shape: tuple[int, ...]
) -> Float32[Array, "b f h w i"]:
    """Standard normal latents; each row depends on its own seed only."""
    return jax.vmap(lambda seed: jax.random.normal(jax.random.key(seed), shape))(seeds)


@partial(jax.jit, static_argnames=("solver", "grid"))
def prepare(
    model: WanDiT,
    text: Float[Array, "r m t"],
    lengths: Int[Array, " r"],
    guidance: Float32[Array, " b"] | None,
    *,
    solver: Solver,
    grid: tuple[int, int, int],
) -> Conditions:
    """Text keys and values, modulation of all steps, rotary positions.

    `text` holds b rows, or, with guidance, b prompts and then b negative prompts; rows
    from `lengths` on are zero (see `WanDiT.context`).
    """
    times = jnp.asarray(solver.schedule.timesteps, jnp.float32)
    return Conditions(
        context=model.context(text, lengths),
        times=model.times(times),
        rotary=rotary_table(grid, model.config.head_width),
        guidance=guidance,
    )


def velocity(
    model: WanDiT,
    conditions: Conditions,
    latents: Float32[Array, "b f h w i"],
    i: int | Int[Array, ""],
) -> Float32[Array, "b f h w o"]:
    """The guided velocity at step `i`: both branches in one pass through the model."""
    rows = conditions.context.bias.shape[0]
    times = conditions.times.at(i, rows)
    tokens = jnp.tile(model.embed(latents), (rows // latents.shape[0], 1, 1))
    tokens = model.blocks(tokens, times.blocks, conditions.rotary, conditions.context)
    out = model.head(tokens, times.head, model.grid(latents))
    return guided(out, conditions.guidance)


def guided(
    out: Float32[Array, " r *shape"], guidance: Float32[Array, " b"] | None
) -> Float32[Array, " b *shape"]:
    """Both branches brought together: what the negative prompt gives, and from there
    towards and past what the prompt gives."""
    if guidance is None:
        return out
    b = len(guidance)
    scale = guidance.reshape(b, *(1,) * (out.ndim - 1))
    return out[b:] + scale * (out[:b] - out[b:])


@partial(jax.jit, static_argnames=("solver",), donate_argnames=("run",))
def denoise(
    model: WanDiT,
    conditions: Conditions,
    run: Run,
    first: Int[Array, ""] | int,
    last: Int[Array, ""] | int,
    *,
    solver: Solver,
) -> tuple[Run, Int[Array, ""]]:
    """Steps `first` to `last` (exclusive), and the number of steps done.

    The run is donated: its arrays are gone after the call.
    """

    def step(i: Array, run: Run) -> Run:
        out = velocity(model, conditions, run.latents, i)
        return Run(*solver.step(i, run.latents, out, run.solver))

    # Over a mesh each call's run is spread as the next one's is: one program for all.
    run = jax.tree.map(constrain, jax.lax.fori_loop(first, last, step, run))
    return run, jnp.int32(last)


def stepwise(
    model: WanDiT,
    conditions: Conditions,
    run: Run,
    solver: Solver,
    *,
    every: int | None = 1,
) -> Iterator[tuple[int, Run]]:
    """The run from the first step to the last, `every` steps a call (None: in one).

    Yields the number of steps done and the run after each call. The same program as one
    call of `denoise` over all steps, so the same bytes. The device always has a next
    call waiting, and a caller that stops iterating stops the run: so progress and
    cancellation cost nothing. A yielded run is usable only after the last step (earlier
    ones are donated).
    """
    waiting: deque[Array] = deque()
    steps = solver.schedule.steps
    for i in range(0, steps, every or steps):
        last = min(i + (every or steps), steps)
        run, done = denoise(model, conditions, run, i, last, solver=solver)
        waiting.append(done)
        if len(waiting) > AHEAD:
            yield int(waiting.popleft()), run
    for done in waiting:
        yield int(done), run
