"""Classifier-free guidance (arXiv 2207.12598)."""

from jaxtyping import Array, Float, Float32


def guided(
    out: Float[Array, " r *shape"], guidance: Float32[Array, " b"] | None
) -> Float[Array, " b *shape"]:
    """The guided output of a pass with two branches.

    Args:
        out: rows of all prompts, then of all negative prompts.
        guidance: the scale of each request; None if there is only the first branch.
    """
    if guidance is None:
        return out
    b = len(guidance)
    scale = guidance.reshape(b, *(1,) * (out.ndim - 1))
    return out[b:] + scale * (out[:b] - out[b:])
