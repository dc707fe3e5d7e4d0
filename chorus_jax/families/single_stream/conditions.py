"""Inputs of all steps of a run: text keys and values, modulation, positions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int

from chorus_jax.families.forward import TextGains
from chorus_jax.nets.guidance import Perturbation, branch_count
from chorus_jax.nets.token_attention import Context, Gains


class Times(NamedTuple):
    """Modulation inputs in float32, one row per timestep: made once per schedule."""

    blocks: Float[Array, "*t 6 c"]
    head: Float[Array, "*t c"]

    def at(self, i: Int[Array, " r"]) -> "Times":
        """Modulation inputs at step `i` of each row."""
        return jax.tree.map(lambda x: x[i], self)


class StreamConditions(NamedTuple):
    """Inputs of all passes of a run.

    Attributes:
        context: keys and values of the text, with guidance those of all prompts and
            then of all negative prompts.
        times: modulation of all steps.
        rotary: positions of all tokens.
        guidance: the scale of each request; None without guidance.
        images: patches of the channels that stand beside those of the noisy latents,
            of all tokens; None in models without.
        perturbation: spatio-temporal guidance, whose rows of the context come last;
            None without.
    """

    context: Context
    times: Times
    rotary: Float32[Array, "2 n r"]
    guidance: Float32[Array, " b"] | None
    images: Float32[Array, "b n p"] | None = None
    perturbation: Perturbation | None = None

    @property
    def branches(self) -> int:
        """Passes per request: the prompt's, and with guidance the negative prompt's."""
        return branch_count(self.guidance, self.perturbation)

    def prompt(self, count: int) -> "StreamConditions":
        """Those of the prompt's branch alone, of so many requests."""
        context = self.context
        cut = lambda x: jax.tree.map(lambda array: array[:, :count], x)
        context = context._replace(
            text=cut(context.text), bias=context.bias[:count], image=cut(context.image)
        )
        return self._replace(context=context, guidance=None, perturbation=None)

    def amplified(
        self, gains: TextGains | None, words: Float[Array, "b m"] | None
    ) -> Context:
        """The text with these gains, and the words whose attention is asked for; of the
        branch of the prompt."""
        context = self.context
        if gains is not None:
            context = context._replace(
                gains=Gains(*(padded(x, self.branches, 1.0) for x in gains))
            )
        if words is not None:
            watched = padded(words.astype(jnp.float32), self.branches, 0.0)
            context = context._replace(watched=watched)
        return context


def padded(x: Float[Array, "b ..."], branches: int, value: float) -> Array:
    """Rows of the first branch with rows of one value for the other branches."""
    others = jnp.full(((branches - 1) * len(x), *x.shape[1:]), value, x.dtype)
    return jnp.concatenate([x, others])
