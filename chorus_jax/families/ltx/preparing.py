"""The inputs of all steps of an LTX-Video run, made as one program."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int

from chorus_jax.families.ltx.dit import LTXDiT
from chorus_jax.families.ltx.positions import PixelScale, position_table
from chorus_jax.families.single_stream.conditions import StreamConditions
from chorus_jax.nets.tokens import Size
from chorus_jax.schedulers import Solver


@partial(jax.jit, static_argnames=("solver", "grid", "scale"))
def prepare(
    model: LTXDiT,
    text: Float[Array, "r m t"],
    lengths: Int[Array, " r"],
    guidance: Float32[Array, " b"] | None,
    *,
    solver: Solver,
    grid: Size,
    scale: PixelScale,
) -> StreamConditions:
    """Text keys and values, modulation of all steps, rotary positions.

    Args:
        model: the transformer.
        text: b rows, or, with guidance, b prompts and then b negative prompts.
        lengths: the number of tokens of each row.
        guidance: the scale of each request, None for none.
        solver: the one whose schedule is followed.
        grid: the video's tokens along frames, height and width.
        scale: from tokens to seconds and pixels.
    """
    times = jnp.asarray(solver.schedule.timesteps, jnp.float32)
    return StreamConditions(
        context=model.context(text, lengths),
        times=model.times(times),
        rotary=position_table(grid, model.config.width, scale),
        guidance=guidance,
    )
