"""FasterCache's guidance cache: most steps run the prompt's guidance branch only.

arXiv 2410.19355, Vchitect/FasterCache. In such steps the velocity of another branch is
the prompt's velocity plus the last known difference between the two. The low and the
high spatial frequencies of that difference grow by a factor per step: the low ones in
the first part of the run, the high ones in the last part. The default windows and
factors are from the authors' script for CogVideoX at 50 steps.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.families.forward import Forward, GuidedForward, Held, Latents
from chorus_jax.intra_request.history import NONE, due
from chorus_jax.nets.control import select, when, zeros
from chorus_jax.schedulers.flow import Schedule


class GuidanceState(NamedTuple):
    """State of the guidance branches other than the prompt's.

    Attributes:
        low: the low frequencies of each branch's difference from the prompt's velocity,
            one row per branch and request.
        high: the high frequencies of the same difference.
        low_gain: the present factor of the low frequencies, per request.
        high_gain: the present factor of the high frequencies, per request.
        last: the last step that was run, per request; `NONE` before the first.
    """

    low: Latents
    high: Latents
    low_gain: Float[Array, " b"]
    high_gain: Float[Array, " b"]
    last: Int[Array, " b"]


@dataclass(frozen=True)
class GuidanceCache:
    """Runs all guidance branches in every `interval`-th step, else only the prompt's.

    Without guidance every step is computed.

    Attributes:
        interval: steps from one run of all branches to the next; 1 runs them in every
            step.
        first: steps at the start that run all branches.
        low_until: the step before which low frequencies grow.
        high_from: the step from which on high frequencies grow.
        growth: the factor by which they grow per step.

    Raises:
        ValueError: for an interval below 1, or a negative `first` or `growth`.
    """

    interval: int = 5
    first: int = 17
    low_until: int = 40
    high_from: int = 29
    growth: float = 1.1

    extrapolates = False  # not a field (see `extrapolating`): one difference

    def __post_init__(self) -> None:
        if self.interval < 1 or min(self.first, self.growth) < 0:
            raise ValueError(
                "expected an interval of 1 step or more and no negative number, got "
                f"{self}"
            )

    def init(self, forward: Forward) -> GuidanceState:
        """The state before the first step.

        Raises:
            ValueError: for a family whose branches cannot be run separately, and on a
                mesh that does not divide the rows of the prompts' branch.
        """
        apart = guided_forward(forward)
        b = len(jax.tree.leaves(forward.latents)[0])
        check_prompt_rows(b)
        shapes = jax.eval_shape(lambda: apart.velocities(apart.stem()))
        others = jax.tree.map(lambda x: x[b:], zeros(shapes))
        one = jnp.ones(b, jnp.float32)
        return GuidanceState(others, others, one, one, jnp.full(b, NONE, jnp.int32))

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: GuidanceState,
    ) -> tuple[Latents, Held, GuidanceState, Float[Array, " b"]]:
        """Runs all branches, or only the prompt's (see `StepCache.step`)."""
        apart, b = guided_forward(forward), len(i)
        table = self.runs_all(schedule.steps)
        full = due(table, state.last, i) | (state.last == NONE)
        velocities, held = passes(apart, held, full)
        own = jax.tree.map(lambda x: x[:b], velocities)
        others = jax.tree.map(lambda x: x[b:], velocities)
        count = len(jax.tree.leaves(others)[0]) // b
        base = jax.tree.map(lambda x: jnp.concatenate([x] * count or [x[:0]]), own)
        grown = self.grown(i, state)
        reused = jax.tree.map(
            lambda x, low, high: (
                x + rows(grown.low_gain, low) * low + rows(grown.high_gain, high) * high
            ),
            *(base, state.low, state.high),
        )
        fresh = self.differing(i, others, base)
        others = select(full, others, reused)
        velocity = apart.guide(jax.tree.map(joined, own, others))
        work = jnp.where(full, 1.0, 1.0 / (1 + count))
        return velocity, held, select(full, fresh, grown), work

    def runs_all(self, steps: int) -> Bool[np.ndarray, " steps"]:
        """The steps that run all branches."""
        i = np.arange(steps)
        # The authors count steps from 1.
        return ((i + 1) % self.interval == 0) | (i < self.first)

    def grown(self, i: Int[Array, " b"], state: GuidanceState) -> GuidanceState:
        """The state after a step that runs the prompt's branch only, its factors grown
        for all steps since the last one that was run."""
        low = jnp.minimum(i + 1, self.low_until) - state.last - 1
        high = i - jnp.maximum(state.last, self.high_from - 1)
        gain = lambda steps: self.growth ** jnp.maximum(steps, 0).astype(jnp.float32)
        return state._replace(
            low_gain=state.low_gain * gain(low),
            high_gain=state.high_gain * gain(high),
            last=i,
        )

    def differing(
        self, i: Int[Array, " b"], others: Latents, base: Latents
    ) -> GuidanceState:
        """The state after a step that runs all branches."""
        apart = jax.tree.map(jnp.subtract, others, base)
        low = jax.tree.map(low_frequencies, apart)
        high = jax.tree.map(jnp.subtract, apart, low)
        one = jnp.ones(i.shape, jnp.float32)
        return GuidanceState(low, high, one, one, i)


def guided_forward(forward: Forward) -> GuidedForward:
    """The pass as a `GuidedForward`. Raises a ValueError if its guidance branches
    cannot be run separately."""
    if not isinstance(forward, GuidedForward):
        raise ValueError(
            "this family's guidance branches cannot be run apart: choose a step cache "
            "that reuses whole passes"
        )
    return forward


def check_prompt_rows(count: int) -> None:
    """Raises a ValueError if the mesh in `jax.set_mesh` does not divide the `count`
    rows of the prompts' branch, which is run alone."""
    mesh = jax.sharding.get_abstract_mesh()
    if not mesh.empty and count % mesh.shape["data"]:
        raise ValueError(
            "the guidance cache runs the prompt's branch alone, one row per request: "
            f"data={mesh.shape['data']} of the mesh does not divide {count}; make a "
            "mesh with data=1, or run as many requests together"
        )


def passes(
    forward: GuidedForward, held: Held, full: Bool[Array, " b"]
) -> tuple[Latents, Held]:
    """Runs all branches if any request is `full`, else only the prompt's branch.

    Returns:
        The velocities of all rows before guidance, with zeros for branches that did not
        run; and the held state after the pass.
    """

    def everything(before: tuple[Latents, Held], stem: Any) -> tuple[Latents, Held]:
        tokens, sides = forward.blocks(stem)
        return forward.velocities(tokens), forward.hold(before[1], sides)

    def prompts(before: tuple[Latents, Held], stem: Any) -> tuple[Latents, Held]:
        tokens, _ = alone.blocks(stem)
        put = lambda x, own: x.at[: len(full)].set(own)
        return jax.tree.map(put, before[0], alone.velocities(tokens)), before[1]

    alone, stem = forward.prompt(), forward.stem()
    shapes = jax.eval_shape(lambda: forward.velocities(stem))
    after = when(full.any(), everything, (zeros(shapes), held), stem)
    return when(~full.any(), prompts, after, alone.stem())


def low_frequencies(x: Array) -> Array:
    """Keeps the spatial frequencies up to a fifth of the frame's shorter side.

    Arrays that are not on a grid of frames, such as the patches of a region, are
    returned whole.
    """
    if x.ndim != 5:
        return x
    h, w = x.shape[2:4]
    rows, columns = (jnp.fft.fftfreq(n, 1 / n) for n in (h, w))
    low = rows[:, None] ** 2 + columns[None, :] ** 2 <= (min(h, w) // 5) ** 2
    spectrum = jnp.fft.fft2(x.astype(jnp.float32), axes=(2, 3))
    return jnp.fft.ifft2(
        spectrum * low[None, None, :, :, None].astype(spectrum.dtype), axes=(2, 3)
    ).real


def rows(gain: Float[Array, " b"], x: Array) -> Array:
    """Repeats one number per request over its branches, to broadcast against `x`."""
    return jnp.tile(gain, len(x) // len(gain)).reshape(-1, *(1,) * (x.ndim - 1))


def joined(*parts: Any) -> Array:
    """Concatenates the rows of several arrays."""
    return jnp.concatenate(parts)
