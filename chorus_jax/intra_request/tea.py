"""TeaCache: layers are skipped while the timestep's embedding has hardly changed.

Liu et al., arXiv 2411.19108. A skipped step reuses the residual of all layers from the
last computed step; stem and head always run. Published settings are in
`tea_coefficients`. With two experts each can have a polynomial of its own, as in
NVIDIA/TensorRT-LLM#13170.
"""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.intra_request.fitting import RunProperties
from chorus_jax.intra_request.shifts import check_shift
from chorus_jax.intra_request.sizes import Size, check_plane, check_size
from chorus_jax.intra_request.tea_coefficients import PUBLISHED
from chorus_jax.nets.control import select, when
from chorus_jax.schedulers.flow import Schedule

COEFFICIENTS = "TeaCache's coefficients"
TINY = 1e-9  # least denominator: the embedding is zeros before the first step


class TeaState(NamedTuple):
    """State of each row of the pass.

    Attributes:
        signal: the embedding of the step before.
        total: the sum of predicted changes since the last computed step.
        residual: the residual of all layers in the last computed step.
        known: whether a step has been computed yet.
    """

    signal: Float[Array, "r ..."]
    total: Float[Array, " r"]
    residual: Any
    known: Bool[Array, " r"]


@dataclass(frozen=True)
class TeaCache:
    """Skips the layers until the predicted change reaches a threshold.

    Attributes:
        threshold: the sum of predicted relative changes of the output at which the
            layers run again; at 0 every step is computed.
        coefficients: the polynomial that predicts the relative change of the output
            from that of the signal, highest power first.
        signal: the embedding that is watched (`Forward.signal`).
        first: steps at the start of a run that are always computed.
        last: steps at the end of a run that are always computed.
        steps: the number of steps in the runs that the coefficients were measured on; 0
            allows any.
        shift: the shift of these runs' schedule; None allows any.
        size: height and width of these runs' latents, or width and height; None allows
            any.
        second: the polynomial of a second expert; () for one transformer, or for the
            same polynomial.
        switch: the first step of a second expert; 0 for one transformer.

    Raises:
        ValueError: for a threshold that is negative or not finite, no coefficients,
            negative numbers of steps, only one of `second` and `switch`, or a `switch`
            that is not below `steps`.
    """

    threshold: float
    coefficients: tuple[float, ...]
    signal: str = "embedding"
    first: int = 1
    last: int = 1
    steps: int = 0
    shift: float | None = None
    size: Size | None = None
    second: tuple[float, ...] = ()
    switch: int = 0

    extrapolates = False  # not a field (see `extrapolating`): the last residual

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < math.inf:
            raise ValueError(f"a threshold is 0 or more, got {self.threshold}")
        if not self.coefficients or min(self.first, self.last, self.switch) < 0:
            raise ValueError(
                "TeaCache has one coefficient or more, and no negative first, last or "
                f"switch, got {self}"
            )
        if bool(self.second) != bool(self.switch):
            raise ValueError(
                "a second expert has a polynomial and a first step: give both second "
                f"and switch, or neither, got {self.second} and {self.switch}"
            )
        if self.steps:
            self.check_switch(self.steps)

    @classmethod
    def published(
        cls,
        variant: str,
        threshold: float,
        *,
        retention: bool = False,
        anywhere: bool = False,
    ) -> "TeaCache":
        """TeaCache with the published coefficients of a model.

        Args:
            variant: one of `PUBLISHED`; its coefficients are valid for that model's
                weights only.
            threshold: the authors use .05 to .08 for wan21_t2v_1_3b (with retention .05
                and .1), .14 to .2 for wan21_t2v_14b, .03 and .05 for ltx_091,
                .26 for wan22_ti2v_5b.
            retention: whether to use the published settings that compute the first five
                steps and watch the modulation instead of the embedding.
            anywhere: whether the coefficients may be used at other numbers of steps,
                shifts and sizes than the model's default run has.

        Raises:
            ValueError: for an unknown variant, or one that is not published with
                retention.
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
        strict = cls(threshold, **asdict(settings[retention]))
        free = replace(strict, steps=0, shift=None, size=None)
        return free if anywhere else strict

    def init(self, forward: Forward) -> TeaState:
        """The state before the first step. Raises a ValueError for latents of another
        size."""
        check_size(COEFFICIENTS, self.size, forward.latents)
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
        """Runs the whole pass, or only stem and head with the last residual in between
        (see `StepCache.step`).

        Raises:
            ValueError: for a schedule of another shift or number of steps.
        """
        self.check_schedule(schedule)
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

    def check(self, run: RunProperties) -> None:
        """Raises a ValueError for another number of steps, shift or size."""
        self.check_schedule(run.schedule)
        check_plane(COEFFICIENTS, self.size, run.size)

    def check_schedule(self, schedule: Schedule) -> None:
        """Raises a ValueError for a schedule of another shift or number of steps, or
        one that ends before the second expert begins."""
        if self.steps not in (0, schedule.steps):
            raise ValueError(
                f"{COEFFICIENTS} were measured over {self.steps} steps, the "
                f"run has {schedule.steps}: run {self.steps}, or take them all the "
                "same with steps=0 (anywhere=true of published ones)"
            )
        self.check_switch(schedule.steps)
        check_shift(COEFFICIENTS, self.shift, schedule)

    def check_switch(self, steps: int) -> None:
        """Raises a ValueError for a second expert that does not begin within a run of
        `steps` steps."""
        if self.switch >= steps:
            raise ValueError(
                f"the second expert begins at a step below {steps}, got {self.switch}: "
                "give the step at which the model changes its expert"
            )

    def decide(
        self, i: Int[Array, " r"], steps: int, signal: Array, state: TeaState
    ) -> tuple[Bool[Array, " r"], Float[Array, " r"]]:
        """Whether each row's layers run in step `i`, and its sum of changes after the
        step."""
        axes = range(1, signal.ndim)
        change = jnp.abs(signal - state.signal).mean(axis=axes)
        size = jnp.abs(state.signal).mean(axis=axes)
        relative = change / jnp.maximum(size, TINY)
        total = state.total + self.predicted(relative, i)
        forced = (i < self.first) | (i >= steps - self.last) | ~state.known
        # A polynomial may give negative changes, so the total may be below 0.
        forced |= self.threshold == 0
        computed = forced | (total >= self.threshold)
        return computed, jnp.where(computed, 0.0, total)

    def predicted(
        self, change: Float[Array, " r"], i: Int[Array, " r"]
    ) -> Float[Array, " r"]:
        """The predicted relative change of the output in step `i`, per row, from that
        of the signal."""
        polynomial = lambda x: jnp.polyval(jnp.array(x, jnp.float32), change)
        first = polynomial(self.coefficients)
        if not self.switch:
            return first
        return jnp.where(i < self.switch, first, polynomial(self.second))
