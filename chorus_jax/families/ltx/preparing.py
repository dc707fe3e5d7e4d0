"""The inputs of all steps of an LTX-Video run, made as one program."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Int

from chorus_jax.families.ltx.dit import LTXDiT
from chorus_jax.families.ltx.positions import PixelScale, places_of, position_table
from chorus_jax.families.ltx_shared.given_frames import FrameLayout
from chorus_jax.families.single_stream.conditions import (
    FrozenTokens,
    StreamConditions,
)
from chorus_jax.guidance_schedule import GuidanceSchedule
from chorus_jax.nets.guidance import Perturbation
from chorus_jax.nets.tokens import Size
from chorus_jax.request import Request
from chorus_jax.schedulers import Solver


@partial(jax.jit, static_argnames=("solver", "grid", "scale", "layout"))
def prepare(
    model: LTXDiT,
    text: Float[Array, "r m t"],
    lengths: Int[Array, " r"],
    guidance: Float32[Array, " *steps b"] | None,
    perturbation: Perturbation | None = None,
    star: Bool[Array, ""] | None = None,
    *,
    solver: Solver,
    grid: Size,
    scale: PixelScale,
    layout: FrameLayout | None = None,
) -> StreamConditions:
    """Computes text keys and values, the modulation of all steps, and rotary tables.

    Args:
        model: the transformer.
        text: b rows, or, with guidance, b prompts and then b negative prompts.
        lengths: the number of tokens of each row.
        guidance: the scale of each request, or of each step and request; None for none.
        perturbation: spatio-temporal guidance, None for none; its pass reads the
            prompts again.
        star: an array (its value is not read) for CFG-Zero* guidance; None for the
            usual one.
        solver: the solver, whose schedule gives the timesteps.
        grid: the video's tokens along frames, height and width.
        scale: converts token indices to seconds and pixels.
        layout: the layout of the given frames; None without any.
    """
    times, frozen, places = step_times(solver, layout), None, None
    if layout is not None:
        frozen = frozen_tokens(solver, layout, grid)
        places = places_of(layout, grid, scale)
    if perturbation is not None:
        b = perturbation.scale.shape[-1]
        text = jnp.concatenate([text, text[:b]])
        lengths = jnp.concatenate([lengths, lengths[:b]])
    return StreamConditions(
        context=model.context(text, lengths),
        times=model.times(times),
        rotary=position_table(grid, model.config.width, scale, places),
        guidance=guidance,
        perturbation=perturbation,
        frozen=frozen,
        star=star,
    )


def step_times(
    solver: Solver, layout: FrameLayout | None
) -> Float32[Array, " steps *kinds"]:
    """The timestep of each step, or of each step and kind of token. Of a given frame it
    is at most 1000 (1 - strength)."""
    times = np.array(solver.schedule.timesteps, np.float32)
    if layout is None:
        return jnp.asarray(times)
    least = 1000 * (1 - np.array(layout.strengths, np.float32))
    return jnp.asarray(np.minimum(times[:, None], least))


def frozen_tokens(solver: Solver, layout: FrameLayout, grid: Size) -> FrozenTokens:
    """The kind of every token, and the steps that change the tokens of each kind."""
    times = np.array(solver.schedule.timesteps, np.float32)
    remaining = 1 - np.array(layout.strengths, np.float32)
    moves = times[:, None] / 1000 - 1e-6 < remaining
    return FrozenTokens(jnp.asarray(layout.kinds(grid)), jnp.asarray(moves))


def scales(requests: Sequence[Request], solver: Solver) -> Array | None:
    """The guidance scale of each request, or of each step and request by a schedule;
    None without guidance."""
    first, schedule = requests[0], requests[0].guidance_schedule
    if not first.guided:
        return None
    if schedule is None:
        return jnp.array([request.guidance_scale for request in requests], jnp.float32)
    rows = np.array(schedule.prompt_weights, np.float32)[entries(schedule, solver)]
    return jnp.asarray(np.repeat(rows[:, None], len(requests), axis=1))


def entries(schedule: GuidanceSchedule, solver: Solver) -> list[int]:
    """For each step of a solver, the index of its entry in a guidance schedule."""
    return schedule.entries([t / 1000 for t in solver.schedule.timesteps])


def scheduled(
    schedule: GuidanceSchedule, solver: Solver, count: int, depth: int
) -> Perturbation | None:
    """The spatio-temporal guidance of `count` requests by a schedule; None without."""
    if not schedule.perturbed:
        return None
    places = entries(schedule, solver)
    layers = np.zeros((len(schedule.layers), depth), bool)
    for row, own in enumerate(schedule.layers):
        layers[row, list(own)] = True
    scale, rescale = (
        jnp.asarray(np.repeat(np.array(x, np.float32)[places][:, None], count, axis=1))
        for x in (schedule.perturbed_scales, schedule.rescales)
    )
    return Perturbation(scale, rescale, jnp.asarray(layers[places]))


def perturbation(
    requests: Sequence[Request], solver: Solver, depth: int
) -> Perturbation | None:
    """The spatio-temporal guidance of requests to a transformer of `depth` layers, or
    None. All requests must perturb the same layers as the first."""
    schedule = requests[0].guidance_schedule
    if schedule is not None:
        return scheduled(schedule, solver, len(requests), depth)
    guidance = [x.perturbed for x in requests if x.perturbed is not None]
    if not guidance:
        return None
    return Perturbation(
        jnp.array([one.scale for one in guidance], jnp.float32),
        jnp.array([one.rescale for one in guidance], jnp.float32),
        jnp.isin(jnp.arange(depth), jnp.array(guidance[0].layers)),
    )
