"""Guidance: combines the outputs of several passes over the same latents.

Classifier-free guidance (arXiv 2207.12598) needs a pass with the negative prompt,
spatio-temporal guidance (arXiv 2411.18664) one in which some layers skip their
self-attention.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32


class Perturbation(NamedTuple):
    """Spatio-temporal guidance: moves the output away from the output of a perturbed
    pass.

    In some layers of the perturbed pass every token attends to itself only. All three
    arrays may have an additional first axis, the steps of a schedule.

    Attributes:
        scale: the guidance scale, per request; 0 for no such guidance.
        rescale: from 0 (unchanged) to 1: how far the output is rescaled to the standard
            deviation of the prompt's pass, per request.
        layers: True for the layers whose self-attention returns its values unchanged.
    """

    scale: Float32[Array, " *steps b"]
    rescale: Float32[Array, " *steps b"]
    layers: Bool[Array, " *steps l"]


def branch_count(guidance: object | None, perturbation: object | None) -> int:
    """Passes per request: one with the prompt, and optionally one with the negative
    prompt and one that is perturbed."""
    return 1 + (guidance is not None) + (perturbation is not None)


def guided(
    out: Float[Array, " r *shape"],
    guidance: Float32[Array, " b"] | None,
    perturbation: Perturbation | None = None,
    star: bool = False,
) -> Float[Array, " b *shape"]:
    """The guided output of each request, from the outputs of all guidance branches.

    Args:
        out: rows of all prompts, then, if there are such branches, of all negative
            prompts, then of all perturbed passes.
        guidance: the guidance scale of each request; None without negative prompts.
        perturbation: settings of the perturbed passes; None without such passes.
        star: whether the negative prompt's output is replaced by the projection of the
            prompt's output onto it (CFG-Zero*, arXiv 2503.18886).
    """
    b = len(out) // branch_count(guidance, perturbation)
    prompt = mixed = out[:b]
    if guidance is not None:
        negative = out[b : 2 * b]
        if star:
            negative = projection(prompt, negative) * negative
        mixed = negative + along(guidance, out) * (prompt - negative)
    if perturbation is None:
        return mixed
    mixed = mixed + along(perturbation.scale, out) * (prompt - out[-b:])
    # Requests without such guidance keep the deviation of their guided output.
    rescale = jnp.where(perturbation.scale > 0, perturbation.rescale, 0.0)
    share = along(rescale, out)
    return mixed * (share * deviation(prompt) / deviation(mixed) + (1 - share))


def projection(prompt: Float[Array, " b *shape"], negative: Array) -> Array:
    """The factor of each request's negative output that makes it the projection of the
    prompt's output onto the negative output."""
    axes = tuple(range(1, prompt.ndim))
    inner = (prompt * negative).sum(axis=axes, keepdims=True)
    return inner / ((negative**2).sum(axis=axes, keepdims=True) + 1e-8)


def along(x: Float32[Array, " b"], out: Float[Array, " r *shape"]) -> Array:
    """Reshapes one number per request so that it broadcasts against outputs."""
    return x.reshape(len(x), *(1,) * (out.ndim - 1))


def deviation(x: Float[Array, " b *shape"]) -> Array:
    """The standard deviation of each request's output."""
    return jnp.std(x, axis=tuple(range(1, x.ndim)), keepdims=True, ddof=1)
