"""The inputs of all steps of an LTX-2 run, made as one program."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int

from chorus_jax.audio_video import AudioVideoGuidance
from chorus_jax.families.ltx2.conditions import AudioVideoConditions
from chorus_jax.families.ltx2.connectors import LTX2Connectors
from chorus_jax.families.ltx2.given_tokens import TOKEN, GivenTokens
from chorus_jax.families.ltx2.guidance import JointGuidance, StreamScales
from chorus_jax.families.ltx2.positions import AudioVideoScale
from chorus_jax.families.ltx2.streams import Streams
from chorus_jax.families.ltx2.times import times_of
from chorus_jax.families.ltx2.transformer import LTX2DiT
from chorus_jax.families.ltx_shared.given_frames import FrameLayout
from chorus_jax.nets.tokens import Size
from chorus_jax.request import Request
from chorus_jax.schedulers import Solver

STATIC = ("solver", "grid", "audio_tokens", "scale", "layout", "levels")


@partial(jax.jit, static_argnames=STATIC)
def prepare(
    model: LTX2DiT,
    connectors: LTX2Connectors,
    features: Float[Array, "r m k"],
    lengths: Int[Array, " r"],
    guidance: JointGuidance,
    clean: Float32[Array, "b n c"] | None = None,
    *,
    solver: Solver,
    grid: Size,
    audio_tokens: int,
    scale: AudioVideoScale,
    layout: FrameLayout | None = None,
    levels: str = TOKEN,
) -> AudioVideoConditions:
    """Computes the text's keys or tokens, the modulation of all steps, and rotary
    tables.

    Args:
        model: the transformer.
        connectors: turn features into the embeddings that the transformer reads.
        features: the features of b prompts, followed by those of b negative prompts if
            guidance uses them.
        lengths: the number of tokens of each row.
        guidance: the guidance scales of the passes other than the prompt's.
        clean: the latents of given frames (see `clean_tokens`); None without any.
        solver: the solver, whose schedule gives the timesteps.
        grid: the video's tokens along frames, height and width.
        audio_tokens: the number of the audio's tokens.
        scale: converts token indices to seconds and pixels.
        layout: the layout of the given frames; None without any.
        levels: the noise level of their clean estimates, `TOKEN` or `STEP`.
    """
    more = model.config.text_limit - features.shape[1]
    padded = jnp.pad(features, ((0, 0), (0, more), (0, 0)))
    text = model.text(connectors(padded, lengths))
    times = jnp.asarray(solver.schedule.timesteps, jnp.float32)
    kinds, given = None, None
    if layout is not None and clean is not None:
        given = GivenTokens.of(layout, grid, clean, levels)
        kinds = times[:, None] * (1 - given.strengths)[None]
    return AudioVideoConditions(
        text=text,
        values=model.values(text),
        times=times_of(Streams(*(end.times for end in model.ends)), times, kinds),
        sigmas=jnp.asarray(solver.schedule.sigmas[: len(times)], jnp.float32),
        positions=model.positions(grid, audio_tokens, scale, layout),
        guidance=guidance,
        given=given,
    )


def guidance_of(requests: Sequence[Request], depth: int) -> JointGuidance:
    """The guidance of requests to a transformer of `depth` layers. All requests must
    have the same passes and perturbed layers as the first."""
    first = requests[0]
    settings = [request.joint or AudioVideoGuidance() for request in requests]
    perturbed = [x.perturbed for x in requests if x.perturbed is not None]
    column = lambda values: jnp.array(list(values), jnp.float32)
    chosen = lambda own, usual: usual if own is None else own
    pairs = list(zip(requests, settings))
    texts = [
        [request.guidance_scale for request in requests],
        [
            max(chosen(x.audio_scale, request.guidance_scale), 1.0)
            for request, x in pairs
        ],
    ]
    strengths = [
        [one.scale for one in perturbed],
        [chosen(x.audio_perturbed, one.scale) for one, x in zip(perturbed, settings)],
    ]
    joints = [
        [x.joint for x in settings],
        [chosen(x.audio_joint, x.joint) for x in settings],
    ]
    rescales = [
        [x.rescale for x in settings],
        [chosen(x.audio_rescale, x.rescale) for x in settings],
    ]
    rescaled = any(map(any, rescales))
    isolates = any(x.isolates for x in settings)
    scales = [
        StreamScales(
            column(texts[place]) if first.guided else None,
            column(strengths[place]) if perturbed else None,
            column(joints[place]) if isolates else None,
            column(rescales[place]) if rescaled else None,
        )
        for place in range(2)
    ]
    if not perturbed:
        return JointGuidance(Streams(*scales))
    layers = jnp.isin(jnp.arange(depth), jnp.array(perturbed[0].layers))
    return JointGuidance(Streams(*scales), layers)
