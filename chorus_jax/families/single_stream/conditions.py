"""Inputs of all steps of a run: text keys and values, modulation, positions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int

from chorus_jax.families.forward import TextGains
from chorus_jax.nets.guidance import Perturbation, branch_count
from chorus_jax.nets.token_attention import Context, Gains


class Times(NamedTuple):
    """Modulation inputs in float32, one row per timestep: made once per schedule.

    Attributes:
        blocks: six vectors of the model's width for the blocks: a shift, a scale and a
            gate for self-attention, and the same for the feed-forward network.
        head: the embedding of the timestep, for the output projection.
    """

    blocks: Float[Array, "*t 6 c"]
    head: Float[Array, "*t c"]

    def at(self, i: Int[Array, " r"]) -> "Times":
        """Modulation inputs at step `i` of each row."""
        return jax.tree.map(lambda x: x[i], self)


class FrozenTokens(NamedTuple):
    """The tokens of given frames, which have timesteps of their own.

    With it the `times` of a run have one more axis, the kinds of tokens. A step leaves
    those tokens unchanged whose noise level is below its own.

    Attributes:
        kinds: the kind of each token: 0 for generated ones, then one per strength of
            given frames.
        moves: whether each step changes the tokens of each kind.
    """

    kinds: Int[Array, " n"]
    moves: Bool[Array, "t k"]


class StreamConditions(NamedTuple):
    """Inputs of all passes of a run.

    Attributes:
        context: keys and values of all prompts and then, with guidance, of all negative
            prompts.
        times: modulation of all steps.
        rotary: rotary tables of all tokens.
        guidance: the scale of each request, or of each step and request; None without
            guidance.
        images: the image channels of each token's patch, which follow those of the
            noisy latents; None in models without.
        perturbation: spatio-temporal guidance, whose rows of `context` come last; None
            without.
        frozen: the tokens with timesteps of their own; None if all have the step's.
        star: an array (its value is not read) if guidance is CFG-Zero*'s (see
            `nets.guidance.guided`), else None.
    """

    context: Context
    times: Times
    rotary: Float32[Array, "2 n r"]
    guidance: Float32[Array, " *steps b"] | None
    images: Float32[Array, "b n p"] | None = None
    perturbation: Perturbation | None = None
    frozen: FrozenTokens | None = None
    star: Bool[Array, ""] | None = None

    @property
    def branches(self) -> int:
        """Passes per request: the prompt's, and with guidance the negative prompt's."""
        return branch_count(self.guidance, self.perturbation)

    def prompt(self, count: int) -> "StreamConditions":
        """The conditions of the prompt's branch alone, for `count` requests."""
        context = self.context
        cut = lambda x: jax.tree.map(lambda array: array[:, :count], x)
        context = context._replace(
            text=cut(context.text), bias=context.bias[:count], image=cut(context.image)
        )
        return self._replace(context=context, guidance=None, perturbation=None)

    def amplified(
        self, gains: TextGains | None, words: Float[Array, "b m"] | None
    ) -> Context:
        """The text with gains on the prompt's branch, and with the words whose
        attention in that branch is to be returned."""
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
    """Appends rows of one value, for the other branches, to the rows of the first
    branch."""
    others = jnp.full(((branches - 1) * len(x), *x.shape[1:]), value, x.dtype)
    return jnp.concatenate([x, others])
