"""Tokens with less noise than a step's, and what given frames make of velocities.

A given token of strength s is at noise level (1 - s) sigma. Of each clean estimate
there the given latents take the share s, and the solver moves all tokens alike.

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
        kinds: of each token: 0 for those that are made, then by strength.
        strengths: of each kind, 0 to 1.
        levels: the noise level of each kind's clean estimates, over that of the step.
        clean: the given latents; zeros for tokens that are made.
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
    """The change of the velocity of tokens by given latents.

    Attributes:
        strength: of each token, 0 to 1.
        level: the noise level of its clean estimate, over that of the step.
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
        """The velocity to the mean of its clean estimate and the given latents, by
        strength; of tokens that are made it is `velocity` itself."""
        pull = self.strength * (latents - self.clean) / sigma
        return (1 - self.strength) * self.level * velocity + pull

    def towards(
        self,
        estimate: Float[Array, "b n c"],
        latents: Float[Array, "b n c"],
        sigma: Float[Array, "b 1 1"],
    ) -> Float[Array, "b n c"]:
        """The velocity to that mean, of a clean estimate."""
        mean = estimate + self.strength * (self.clean - estimate)
        return (latents - mean) / sigma


def started_tokens(
    noise: Latents,
    given: GivenTokens,
    video: Float[Array, "b f h w c"] | None,
    level: float,
) -> Latents:
    """The noise with given latents in their places, each with as much noise as its
    strength leaves.

    Args:
        noise: of all streams.
        given: the tokens.
        video: latents that the noise lies over elsewhere; None for none.
        level: the noise level of a token that is made.
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
