"""MagCache: layers are skipped while their residual keeps its magnitude.

Ma et al., arXiv 2506.09045. The residual of all layers has a magnitude whose ratio from
one step to the next hardly depends on the prompt, so these ratios are measured once.
Their product since the last computed step estimates the error of the reused residual;
layers run again once the sum of these errors reaches a threshold. So the computed steps
are known before a run.

The ratios of the prompt's branch decide for all guidance branches. (The authors use the
ratios of each branch; they agree except in the first steps, which are computed anyway.)
With two experts each has its own first steps, as in AI-Hypercomputer/maxdiffusion.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Array, Float, Int

from chorus_jax.families.forward import Forward, Held, Latents
from chorus_jax.intra_request.fitting import RunProperties
from chorus_jax.intra_request.history import History
from chorus_jax.intra_request.mag_curves import CURVES
from chorus_jax.intra_request.scheduled import ScheduledCache
from chorus_jax.intra_request.shifts import check_shift
from chorus_jax.intra_request.sizes import Size, check_plane, check_size
from chorus_jax.schedulers.flow import Schedule

RATIOS = "MagCache's ratios"


@dataclass(frozen=True)
class MagCache(ScheduledCache):
    """Reuses the residual of all layers until the estimated error reaches a threshold.

    Attributes:
        threshold: the sum of estimated errors at which the layers run again; at 0 every
            step is computed.
        ratios: the residual's magnitude at each step, relative to the step before.
        longest: the largest number of successive steps that are not computed.
        retention: the share of the steps (of each expert) that is computed at the
            start.
        switch: the first step of a second expert; 0 for one transformer.
        shift: the shift of the schedule that the ratios were measured on; None allows
            any.
        size: height and width of the latents that the ratios were measured on, or width
            and height; None allows any.
        resampled: whether a run with another number of steps uses the nearest ratios,
            as the authors do; otherwise it is an error.

    Raises:
        ValueError: for numbers out of range, or no ratios.
    """

    threshold: float
    ratios: tuple[float, ...]
    longest: int = 2
    retention: float = 0.2
    switch: int = 0
    shift: float | None = None
    size: Size | None = None
    resampled: bool = False

    grain = "residual"  # not a field: the ratios are those of residuals

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < math.inf or self.longest < 0:
            raise ValueError(
                "a threshold is 0 or more, and so is the number of steps in a row, got "
                f"{self.threshold} and {self.longest}"
            )
        if not self.ratios or not 0 <= self.retention <= 1:
            raise ValueError(
                "expected one ratio per step and a retention from 0 to 1, got "
                f"{len(self.ratios)} ratios, retention {self.retention}"
            )
        if not 0 <= self.switch < len(self.ratios):
            raise ValueError(
                f"the second expert begins at a step below {len(self.ratios)}, got "
                f"{self.switch}"
            )

    @classmethod
    def published(
        cls,
        variant: str,
        threshold: float,
        *,
        longest: int = 2,
        retention: float = 0.2,
        anywhere: bool = False,
    ) -> "MagCache":
        """MagCache with the published ratios of a model.

        Args:
            variant: one of `CURVES`; its ratios are valid for that model's weights
                only.
            threshold: the authors use .12 for wan21_t2v_1_3b (with `longest` 2 or 4),
                .24 with `longest` 6 for wan21_t2v_14b, .06 for the models of Wan 2.2
                (with a `retention` of .4 for wan22_t2v_a14b, .1 for wan22_i2v_a14b).
                MaxDiffusion uses .04 for wan22_t2v_a14b, .06 for wan22_i2v_a14b.
            longest: the largest number of successive steps that are not computed.
            retention: the share of the steps that is computed at the start.
            anywhere: whether the ratios may be used at other numbers of steps, shifts
                and sizes than they were measured at.

        Raises:
            ValueError: for an unknown variant.
        """
        if variant not in CURVES:
            raise ValueError(
                f"no ratios are published for {variant!r}: choose one of "
                f"{', '.join(CURVES)}, or measure them with `chorus calibrate-cache`"
            )
        curve = CURVES[variant]
        strict = cls(
            *(threshold, curve.ratios, longest, retention),
            *(curve.switch, curve.shift, curve.size),
        )
        free = replace(strict, shift=None, size=None, resampled=True)
        return free if anywhere else strict

    def computes(self, steps: int) -> tuple[bool, ...]:
        """The first steps, and those at which the estimated error is too large or
        `longest` steps have been skipped."""
        ratios, switch = self.at(steps)
        table, product, error, skipped = [], 1.0, 0.0, 0
        for i, ratio in enumerate(ratios):
            second = switch and i >= switch
            begins, phase = (switch, steps - switch) if second else (0, switch or steps)
            computed = i in (0, begins) or i < begins + int(phase * self.retention)
            if not computed:
                product, skipped = product * ratio, skipped + 1
                error += abs(1 - product)
                computed = not (error < self.threshold and skipped <= self.longest)
            if computed:
                product, error, skipped = 1.0, 0.0, 0
            table.append(computed)
        return tuple(table)

    def at(self, steps: int) -> tuple[tuple[float, ...], int]:
        """The ratios for a run of `steps` steps, and the first step of its second
        expert.

        Raises:
            ValueError: if there are not as many ratios, unless `resampled`.
        """
        known = len(self.ratios)
        if steps == known:
            return self.ratios, self.switch
        if not self.resampled:
            raise ValueError(
                f"MagCache's ratios are of {known} steps, the run has {steps}: run "
                f"{known} steps, measure ratios with `chorus calibrate-cache`, or take "
                "the nearest ones with resampled=true (anywhere=true of published ones)"
            )
        places = np.round(np.linspace(0, known - 1, steps)).astype(int)
        ratios = tuple(self.ratios[place] for place in places)
        return ratios, round(self.switch * steps / known)

    def check(self, run: RunProperties) -> None:
        """Raises a ValueError for another number of steps, shift or size."""
        super().check(run)
        check_shift(RATIOS, self.shift, run.schedule)
        check_plane(RATIOS, self.size, run.size)

    def init(self, forward: Forward) -> History:
        """The state before the first step. Raises a ValueError for latents of another
        size."""
        check_size(RATIOS, self.size, forward.latents)
        return super().init(forward)

    def step(
        self,
        i: Int[Array, " b"],
        schedule: Schedule,
        forward: Forward,
        held: Held,
        state: History,
    ) -> tuple[Latents, Held, History, Float[Array, " b"]]:
        """Runs the whole pass, or only stem and head with the last residual in between
        (see `StepCache.step`).

        Raises:
            ValueError: for a schedule of another shift or number of steps.
        """
        check_shift(RATIOS, self.shift, schedule)
        return super().step(i, schedule, forward, held, state)
