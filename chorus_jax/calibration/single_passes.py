"""Single passes of full runs, and of runs that leave tokens out; timed if asked."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jaxtyping import Array, Float, Int

from chorus_jax.denoise.program import Program, Run
from chorus_jax.denoise.state import Inputs
from chorus_jax.denoise.token_scope import WholeVideo, merged
from chorus_jax.families.forward import Held, Latents, evaluate

REPEATS = 3  # runs of a timed pass, of which the shortest counts


@partial(jax.jit, static_argnames=("program", "expert"))
def velocity_at(
    inputs: Inputs,
    latents: Latents,
    i: Int[Array, " b"],
    *,
    program: Program,
    expert: str,
) -> Latents:
    """The guided velocity of all tokens at step `i`; no keys are returned."""
    return evaluate(Run(program, inputs).forward(expert, latents, i))[0]


@partial(jax.jit, static_argnames=("program", "expert"))
def full_pass(
    inputs: Inputs,
    latents: Latents,
    i: Int[Array, " b"],
    *,
    program: Program,
    expert: str,
) -> tuple[Latents, Any]:
    """The velocity of all tokens at step `i`, and their keys and values."""
    scope = WholeVideo(Run(program, inputs), expert)
    velocity, held = evaluate(scope.every(latents, i, ()))
    return velocity, held.keys


@partial(jax.jit, static_argnames=("program", "expert"))
def part_pass(
    inputs: Inputs,
    latents: Latents,
    i: Int[Array, " b"],
    keys: Any,
    before: Latents,
    rows: Int[Array, "b k"],
    *,
    program: Program,
    expert: str,
) -> Latents:
    """The velocity at step `i` if only the tiles `rows` are run.

    The other tiles keep the keys and values `keys`, and the velocity `before`, of the
    previous step.
    """
    scope = WholeVideo(Run(program, inputs), expert)
    fresh, _ = evaluate(scope.some(latents, i, keys, rows), Held(keys))
    return merged(scope, before, fresh, rows)


@partial(jax.jit, static_argnames=("program", "expert"))
def shifted(
    inputs: Inputs,
    latents: Latents,
    i: Int[Array, " b"],
    velocity: Latents,
    own: Latents,
    move: Float[Array, ""],
    *,
    program: Program,
    expert: str,
) -> Latents:
    """The latents after step `i`, if the step had another velocity.

    Latents that the request gives (`Forward.moves`) are not changed.

    Args:
        inputs: the arrays of the run.
        latents: the latents after the step with the velocity `own`.
        i: the step.
        velocity: the other velocity.
        own: the velocity that the model computed for the step.
        move: the change of the noise level in the step.
        program: the static part of the run.
        expert: the name of the transformer.
    """
    add = lambda x, other, own: x + move * (other - own)
    made = jax.tree.map(add, latents, velocity, own)
    moves = Run(program, inputs).forward(expert, latents, i).moves()
    return (
        made if moves is None else jax.tree.map(jax.numpy.where, moves, made, latents)
    )


def shortest(run: Callable[[], Any]) -> float:
    """The shortest time of a few runs in seconds, after one that compiles."""
    times = []
    for _ in range(1 + REPEATS):
        began = time.perf_counter()
        jax.block_until_ready(run())
        times.append(time.perf_counter() - began)
    return min(times[1:])
