"""Guidance: the outputs of several passes over the same latents as one output.

Classifier-free guidance (arXiv 2207.12598) takes a pass with the negative prompt,
spatio-temporal guidance (arXiv 2411.18664) one in which some layers do not attend.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32


class Perturbation(NamedTuple):
    """Spatio-temporal guidance: away from a pass whose tokens see only themselves.

    Attributes:
        scale: how far, of each request; 0 is none.
        rescale: how much of the output's deviation is brought back to that of the
            prompt's pass, 0 to 1, of each request.
        layers: those whose self-attention gives its values as they are.

    With a schedule all three have one more axis in front: the steps.
    """

    scale: Float32[Array, " *steps b"]
    rescale: Float32[Array, " *steps b"]
    layers: Bool[Array, " *steps l"]


def branch_count(guidance: object | None, perturbation: object | None) -> int:
    """Passes per request: the prompt's, the negative prompt's, the perturbed one."""
    return 1 + (guidance is not None) + (perturbation is not None)


def guided(
    out: Float[Array, " r *shape"],
    guidance: Float32[Array, " b"] | None,
    perturbation: Perturbation | None = None,
    star: bool = False,
) -> Float[Array, " b *shape"]:
    """The guided output of the passes of all branches.

    Args:
        out: rows of all prompts, then of all negative prompts, then of all perturbed
            passes, as far as there are such branches.
        guidance: the scale of each request; None without negative prompts.
        perturbation: None without perturbed passes.
        star: whether the negative prompt's output is scaled to the projection of the
            prompt's onto it (CFG-Zero*, arXiv 2503.18886).
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
    # Where nothing is perturbed the deviation stays as guidance makes it.
    rescale = jnp.where(perturbation.scale > 0, perturbation.rescale, 0.0)
    share = along(rescale, out)
    return mixed * (share * deviation(prompt) / deviation(mixed) + (1 - share))


def projection(prompt: Float[Array, " b *shape"], negative: Array) -> Array:
    """The length of the projection of each request's prompt onto its negative prompt,
    over the length of that one."""
    axes = tuple(range(1, prompt.ndim))
    inner = (prompt * negative).sum(axis=axes, keepdims=True)
    return inner / ((negative**2).sum(axis=axes, keepdims=True) + 1e-8)


def along(x: Float32[Array, " b"], out: Float[Array, " r *shape"]) -> Array:
    """A number per request against outputs."""
    return x.reshape(len(x), *(1,) * (out.ndim - 1))


def deviation(x: Float[Array, " b *shape"]) -> Array:
    """The standard deviation of each request's output."""
    return jnp.std(x, axis=tuple(range(1, x.ndim)), keepdims=True, ddof=1)
