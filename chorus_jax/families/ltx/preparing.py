"""The inputs of all steps of an LTX-Video run, made as one program."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int

from chorus_jax.families.ltx.dit import LTXDiT
from chorus_jax.families.ltx.positions import PixelScale, position_table
from chorus_jax.families.single_stream.conditions import StreamConditions
from chorus_jax.nets.guidance import Perturbation
from chorus_jax.nets.tokens import Size
from chorus_jax.request import Request
from chorus_jax.schedulers import Solver


@partial(jax.jit, static_argnames=("solver", "grid", "scale"))
def prepare(
    model: LTXDiT,
    text: Float[Array, "r m t"],
    lengths: Int[Array, " r"],
    guidance: Float32[Array, " b"] | None,
    perturbation: Perturbation | None = None,
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
        perturbation: spatio-temporal guidance, None for none; its pass reads the
            prompts again.
        solver: the one whose schedule is followed.
        grid: the video's tokens along frames, height and width.
        scale: from tokens to seconds and pixels.
    """
    times = jnp.asarray(solver.schedule.timesteps, jnp.float32)
    if perturbation is not None:
        b = len(perturbation.scale)
        text = jnp.concatenate([text, text[:b]])
        lengths = jnp.concatenate([lengths, lengths[:b]])
    return StreamConditions(
        context=model.context(text, lengths),
        times=model.times(times),
        rotary=position_table(grid, model.config.width, scale),
        guidance=guidance,
        perturbation=perturbation,
    )


def perturbation(requests: Sequence[Request], depth: int) -> Perturbation | None:
    """The spatio-temporal guidance of requests to a transformer of `depth` layers; all
    of them have the layers of the first. None without."""
    guidance = [x.perturbed for x in requests if x.perturbed is not None]
    if not guidance:
        return None
    return Perturbation(
        jnp.array([one.scale for one in guidance], jnp.float32),
        jnp.array([one.rescale for one in guidance], jnp.float32),
        jnp.isin(jnp.arange(depth), jnp.array(guidance[0].layers)),
    )
