"""Guidance of LTX-2: up to four passes, with separate scales for each stream.

Besides the prompt's pass there are the negative prompt's, the perturbed one (arXiv
2411.18664), and one in which the streams do not attend to each other. The differences
of the prompt's clean estimate from the others', times their scales, are added to it;
its standard deviation is then partly restored.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32

from chorus_jax.families.ltx2.given_tokens import TokenBlend
from chorus_jax.families.ltx2.streams import Streams
from chorus_jax.nets.guidance import along, deviation


class StreamScales(NamedTuple):
    """Scales of one stream's guidance, each a number per request.

    Attributes:
        text: the scale of the prompt against the negative prompt, 1 for no guidance;
            None without that pass.
        perturbed: the scale of the prompt against the perturbed pass, 0 for no
            guidance; None without that pass.
        joint: the scale of the prompt's pass against the one with separate streams, 1
            for no guidance; None without that pass.
        rescale: how far the guided estimate's standard deviation is brought back to
            that of the prompt's, 0 to 1; None to leave it.
    """

    text: Float32[Array, " b"] | None = None
    perturbed: Float32[Array, " b"] | None = None
    joint: Float32[Array, " b"] | None = None
    rescale: Float32[Array, " b"] | None = None


class JointGuidance(NamedTuple):
    """Guidance of both streams.

    Attributes:
        scales: the scales of each stream; both have the same passes.
        layers: the layers without self-attention in the perturbed pass; None without
            that pass.
    """

    scales: Streams = Streams(StreamScales(), StreamScales())
    layers: Bool[Array, " l"] | None = None

    @property
    def branches(self) -> tuple[str, ...]:
        """The names of the passes' scales, in the order of their rows; "" is the
        prompt's pass."""
        scales = self.scales.video
        names = ("text", "perturbed", "joint")
        return ("", *(name for name in names if getattr(scales, name) is not None))

    def guided(
        self,
        out: Streams,
        latents: Streams,
        sigma: Float32[Array, " b"],
        blend: TokenBlend | None = None,
    ) -> Streams:
        """Combines the velocities of all passes into the guided ones.

        Args:
            out: the velocities of all rows.
            latents: the noisy latents, in the same layout.
            sigma: the noise level of each request.
            blend: the correction of the video's tokens towards given latents; None
                without any.
        """
        video, audio = (
            (scales, self.branches, velocities, noisy, sigma)
            for scales, velocities, noisy in zip(self.scales, out, latents, strict=True)
        )
        return Streams(guided_stream(*video, blend), guided_stream(*audio))


def guided_stream(
    scales: StreamScales,
    branches: tuple[str, ...],
    out: Float[Array, " r *shape"],
    latents: Float[Array, " b *shape"],
    sigma: Float32[Array, " b"],
    blend: TokenBlend | None = None,
) -> Float[Array, " b *shape"]:
    """The velocity of one stream (see `JointGuidance.guided`)."""
    prompt, *others = jnp.split(out, len(branches))
    mixed = prompt
    for name, other in zip(branches[1:], others, strict=True):
        scale = getattr(scales, name)
        weight = scale if name == "perturbed" else scale - 1
        mixed = mixed + along(weight, out) * (prompt - other)
    step = along(sigma, out)
    if scales.rescale is None:
        return mixed if blend is None else blend.velocity(mixed, latents, step)
    level = step if blend is None else step * blend.level
    share = along(scales.rescale, out)
    clean, ours = latents - level * mixed, latents - level * prompt
    clean = clean * (share * deviation(ours) / deviation(clean) + (1 - share))
    if blend is not None:
        return blend.towards(clean, latents, step)
    return (latents - clean) / level
