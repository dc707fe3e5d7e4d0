"""TeaCache: layers are skipped while the timestep's embedding has hardly changed.

Liu et al., arXiv 2411.19108. What is reused is the change that all layers together made
to the tokens in the last computed step; the first projection and the head always run.
Coefficients, thresholds and forced steps are those of LiewFeng/TeaCache, of its folders
TeaCache4Wan2.1 and TeaCache4LTX-Video.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.nets.control import select, when
from chorus_jax.schedulers.flow import Schedule

TINY = 1e-9  # an embedding of zeros, before the first step


class TeaState(NamedTuple):
    """State of one row of the pass.

    Attributes:
        signal: the embedding of the step before.
        total: the change foreseen since the last computed step.
        residual: what the layers added to the tokens in that step.
        known: whether there was one.
    """

    signal: Float[Array, "r ..."]
    total: Float[Array, " r"]
    residual: Any
    known: Bool[Array, " r"]


@dataclass(frozen=True)
class TeaCache:
    """Skips the layers until the foreseen change reaches a threshold.

    Attributes:
        threshold: the relative change of a step's output that may add up before the
            layers run again; at 0 every step is computed.
        coefficients: of the polynomial from the relative change of the signal to that
            of the output, the highest power first.
        signal: the embedding that is watched (`Forward.signal`).
        first: steps at the start of a run that are always computed.
        last: steps at its end that are always computed.

    Raises:
        ValueError: for a threshold below 0 or not finite, no coefficients, or negative
            numbers of steps.
    """

    threshold: float
    coefficients: tuple[float, ...]
    signal: str = "embedding"
    first: int = 1
    last: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < math.inf:
            raise ValueError(f"a threshold is 0 or more, got {self.threshold}")
        if not self.coefficients or min(self.first, self.last) < 0:
            raise ValueError(
                "TeaCache has one coefficient or more, and no negative number of "
                f"forced steps, got {self}"
            )

    @classmethod
    def published(
        cls, variant: str, threshold: float, *, retention: bool = False
    ) -> "TeaCache":
        """The published coefficients of a model.

        Args:
            variant: one of `PUBLISHED`; they hold for its own weights only.
            threshold: published ones are .05 to .08 for wan21_t2v_1_3b (with retention
                .05 and .1), .14 to .2 for wan21_t2v_14b, .03 and .05 for ltx_091.
            retention: the variant that computes the first five steps and watches the
                modulation instead of the embedding.

        Raises:
            ValueError: for another variant, or one without retention.
        """
        if variant not in PUBLISHED:
            raise ValueError(
                f"no coefficients are published for {variant!r}: choose one of "
                f"{', '.join(PUBLISHED)}, or give coefficients of your own"
            )
        settings = PUBLISHED[variant]
        if retention not in settings:
            raise ValueError(
                f"{variant!r} is not published with retention: leave retention out"
            )
        return cls(threshold, **asdict(settings[retention]))

    def init(self, forward: Forward) -> TeaState:
        """The state before the first step."""
        signal = jax.eval_shape(lambda: forward.signal(self.signal))
        tokens = jax.eval_shape(forward.stem)
        rows = signal.shape[0]
        zeros = lambda x: jnp.zeros(x.shape, x.dtype)
        return TeaState(
            zeros(signal),
            jnp.zeros(rows, jnp.float32),
            jax.tree.map(zeros, tokens),
            jnp.zeros(rows, bool),
        )

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: TeaState,
    ) -> tuple[Latents, Held, TeaState, Float[Array, " b"]]:
        """The whole pass, or its ends around the last residual (see `StepCache`)."""
        signal, stem = forward.signal(self.signal), forward.stem()
        computed, total = self.decide(forward.rows(i), schedule.steps, signal, state)

        def run(before: tuple[Any, Held], stem: Any) -> tuple[Any, Held]:
            tokens, sides = forward.blocks(stem)
            return tokens, forward.hold(before[1], sides)

        reused = jax.tree.map(jnp.add, stem, state.residual)
        tokens, held = when(computed.any(), run, (reused, held), stem)
        tokens = select(computed, tokens, reused)
        residual = jax.tree.map(jnp.subtract, tokens, stem)
        residual = select(computed, residual, state.residual)
        after = TeaState(signal, total, residual, jnp.ones_like(computed))
        work = computed.astype(jnp.float32).reshape(-1, len(i)).mean(axis=0)
        return forward.head(tokens), held, after, work

    def decide(
        self, i: Int[Array, " r"], steps: int, signal: Array, state: TeaState
    ) -> tuple[Bool[Array, " r"], Float[Array, " r"]]:
        """Whether each row's layers run in step `i`, and its total change after it."""
        axes = range(1, signal.ndim)
        change = jnp.abs(signal - state.signal).mean(axis=axes)
        size = jnp.abs(state.signal).mean(axis=axes)
        relative = change / jnp.maximum(size, TINY)
        weights = jnp.array(self.coefficients, jnp.float32)
        total = state.total + jnp.polyval(weights, relative)
        forced = (i < self.first) | (i >= steps - self.last) | ~state.known
        # Polynomials fall below 0 too, and so may the total.
        forced |= self.threshold == 0
        computed = forced | (total >= self.threshold)
        return computed, jnp.where(computed, 0.0, total)


@dataclass(frozen=True)
class PublishedTea:
    """Published settings of a model besides thresholds (the fields of `TeaCache`).

    Attributes:
        coefficients: of the polynomial, the highest power first.
        signal: the embedding that is watched.
        first: steps at the start that are always computed.
        last: steps at the end that are always computed.
    """

    coefficients: tuple[float, ...]
    signal: str = "embedding"
    first: int = 1
    last: int = 1


def by_retention(plain: tuple[float, ...], retained: tuple[float, ...]) -> dict:
    """The settings without and with retention steps."""
    return {
        False: PublishedTea(plain),
        True: PublishedTea(retained, "modulation", first=5, last=0),
    }


# By model, without and with retention steps; the highest power first.
PUBLISHED: dict[str, dict[bool, PublishedTea]] = {
    "wan21_t2v_1_3b": by_retention(
        (2.39676752e03, -1.31110545e03, 2.01331979e02, -8.29855975, 1.37887774e-01),
        (-5.21862437e04, 9.23041404e03, -5.28275948e02, 1.36987616e01, -4.99875664e-02),
    ),
    "wan21_t2v_14b": by_retention(
        (-5784.54975374, 5449.50911966, -1811.16591783, 256.27178429, -13.02252404),
        (-3.03318725e05, 4.90537029e04, -2.65530556e03, 5.87365115e01, -3.15583525e-01),
    ),
    "wan21_i2v_480p": by_retention(
        (-3.02331670e02, 2.23948934e02, -5.25463970e01, 5.87348440, -2.01973289e-01),
        (2.57151496e05, -3.54229917e04, 1.40286849e03, -1.35890334e01, 1.32517977e-01),
    ),
    "wan21_i2v_720p": by_retention(
        (-114.36346466, 65.26524496, -18.82220707, 4.91518089, -0.23412683),
        (8.10705460e03, 2.13393892e03, -3.72934672e02, 1.66203073e01, -4.17769401e-02),
    ),
    # Its signal is the input of the first layer, which depends on the latents.
    "ltx_091": {
        False: PublishedTea(
            (2.14700694e1, -1.28016453e1, 2.31279151, 7.92487521e-1, 9.69274326e-3),
            "modulation",
        )
    },
}
