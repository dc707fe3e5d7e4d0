"""Given tokens, which have less noise than a step's others, and the correction of their
velocities.

A given token of strength s is at noise level (1 - s) sigma. The clean estimate there is
replaced by a mix of s parts given latents and 1 - s parts estimate; the solver treats
all tokens alike.

Source: Lightricks/LTX-2, packages/ltx-core (X0Model) and ltx-pipelines
(post_process_latent); diffusers' LTX2ConditionPipeline.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from chorus_jax.families.forward import Latents
from chorus_jax.families.ltx2.encoding import packed
from chorus_jax.families.ltx_shared.given_frames import GIVEN, VIDEO, FrameLayout
from chorus_jax.nets.tokens import Size

# By which noise level clean estimates of given tokens are made: the makers take each
# token's own, diffusers that of the step.
TOKEN, STEP = "token", "step"


class GivenTokens(NamedTuple):
    """Given tokens of a video.

    Attributes:
        kinds: the kind of each token: 0 for generated tokens, then one kind per
            strength.
        strengths: the strength of each kind, 0 to 1.
        levels: the noise level at which each kind's clean estimate is made, divided by
            the step's.
        clean: the given latents; zeros for generated tokens.
    """

    kinds: Int[Array, " n"]
    strengths: Float32[Array, " k"]
    levels: Float32[Array, " k"]
    clean: Float32[Array, "b n c"]

    @classmethod
    def of(
        cls, layout: FrameLayout, grid: Size, clean: Float32[Array, "b n c"], by: str
    ) -> "GivenTokens":
        """The given tokens of a layout; `by` is `TOKEN` or `STEP`."""
        strengths = np.array(layout.strengths, np.float32)
        levels = 1 - strengths if by == TOKEN else np.ones_like(strengths)
        kinds = jnp.asarray(layout.kinds(grid))
        return cls(kinds, jnp.asarray(strengths), jnp.asarray(levels), clean)


class TokenBlend(NamedTuple):
    """The correction of the velocity of tokens towards given latents.

    Attributes:
        strength: the strength of each token, 0 to 1.
        level: the noise level of each token's clean estimate, divided by the step's.
        clean: the given latents.
    """

    strength: Float32[Array, "b n 1"]
    level: Float32[Array, "b n 1"]
    clean: Float32[Array, "b n c"]

    def velocity(
        self,
        velocity: Float[Array, "b n c"],
        latents: Float[Array, "b n c"],
        sigma: Float[Array, "b 1 1"],
    ) -> Float[Array, "b n c"]:
        """The velocity towards the mix, by strength, of its clean estimate and the
        given latents; for generated tokens `velocity` itself."""
        pull = self.strength * (latents - self.clean) / sigma
        return (1 - self.strength) * self.level * velocity + pull

    def towards(
        self,
        estimate: Float[Array, "b n c"],
        latents: Float[Array, "b n c"],
        sigma: Float[Array, "b 1 1"],
    ) -> Float[Array, "b n c"]:
        """The velocity towards the mix of a clean estimate and the given latents."""
        mean = estimate + self.strength * (self.clean - estimate)
        return (latents - mean) / sigma


def started_tokens(
    noise: Latents,
    given: GivenTokens,
    video: Float[Array, "b f h w c"] | None,
    level: float,
) -> Latents:
    """Initial noise with given latents at their positions, mixed with noise by
    strength.

    Args:
        noise: the noise of all streams.
        given: the tokens.
        video: latents that noise is added to elsewhere; None to start from pure noise.
        level: the noise level of a generated token.
    """
    shape = noise[VIDEO].shape
    extra = noise[GIVEN] if GIVEN in noise else jnp.zeros((shape[0], 0, shape[-1]))
    over = jnp.zeros(shape) if video is None else video
    tokens, base = (
        jnp.concatenate([beside, packed(x)], axis=1)
        for beside, x in ((extra, noise[VIDEO]), (jnp.zeros_like(extra), over))
    )
    strength = given.strengths[given.kinds][None, :, None]
    share = (1 - strength) * level
    base = jnp.where(strength > 0, given.clean, base)
    mixed = tokens * share + base * (1 - share)
    made = {**noise, VIDEO: mixed[:, extra.shape[1] :].reshape(shape)}
    return {**made, GIVEN: mixed[:, : extra.shape[1]]} if GIVEN in noise else made
