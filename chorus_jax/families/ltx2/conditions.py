"""Inputs of all steps of an LTX-2 run."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32

from chorus_jax.families.forward import TextGains
from chorus_jax.families.ltx2.attention import Words
from chorus_jax.families.ltx2.block import Positions
from chorus_jax.families.ltx2.given_tokens import GivenTokens
from chorus_jax.families.ltx2.guidance import JointGuidance
from chorus_jax.families.ltx2.streams import Streams
from chorus_jax.families.ltx2.times import AudioVideoTimes
from chorus_jax.families.single_stream.conditions import padded
from chorus_jax.nets.token_attention import Gains


class AudioVideoText(NamedTuple):
    """The text that both streams read: all prompts, then all negative prompts if
    guidance uses them.

    Attributes:
        keys: keys and values in all layers; None if the timestep modulates the tokens.
        tokens: the tokens that are modulated in each step; None if they are not.
    """

    keys: Streams | None
    tokens: Streams | None


class AudioVideoConditions(NamedTuple):
    """Inputs of all passes of a run.

    Attributes:
        text: what is read of the prompts.
        values: the values that the first prompt's tokens have in the video's attention
            to the text, in all layers.
        times: modulation of all steps.
        sigmas: the noise level of each step.
        positions: rotary tables of all tokens.
        guidance: the guidance scales of the passes other than the prompt's.
        given: the tokens of given frames; None without any.
    """

    text: AudioVideoText
    values: Float[Array, "l m c"]
    times: AudioVideoTimes
    sigmas: Float32[Array, " steps"]
    positions: Positions
    guidance: JointGuidance = JointGuidance()
    given: GivenTokens | None = None

    @property
    def branches(self) -> tuple[str, ...]:
        """The names of the guidance passes of each request."""
        return self.guidance.branches

    def words(
        self, gains: TextGains | None, watched: Float[Array, "b m"] | None
    ) -> Words:
        """Gains and watched words for all rows; only rows of the prompt's branch have
        any."""
        count = len(self.branches)
        if watched is not None:
            watched = padded(watched.astype(jnp.float32), count, 0.0)
        if gains is None:
            return Words(None, watched)
        return Words(Gains(*(padded(x, count, 1.0) for x in gains)), watched)

    def of_rows(self, text: Any, b: int) -> Any:
        """The text of one layer for all rows: the negative prompts' in rows of their
        branch, else the prompts'."""
        start = {name: b if name == "text" else 0 for name in self.branches}
        return jax.tree.map(
            lambda x: jnp.concatenate(
                [x[start[name] : start[name] + b] for name in self.branches]
            ),
            text,
        )
