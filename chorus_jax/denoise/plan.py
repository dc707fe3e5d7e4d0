"""Step plans: what is computed in each step of a run, decided before the run.

A plan is hashable and part of the key of a compiled program, so there should be few
different ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from chorus_jax.denoise.region import Region
from chorus_jax.intra_request import EveryStep, StepCache
from chorus_jax.intra_request.beside_budgets import check_beside, own_budgets
from chorus_jax.token_budgets import ActiveSets


@dataclass(frozen=True)
class Stretch:
    """Consecutive steps with the same transformer, tokens and step cache.

    Attributes:
        first: the first step.
        last: the step after the last one.
        region: the region whose tokens are run; None runs all tokens.
        cache: the step cache, which decides how much of the model runs in each step.
        expert: the transformer, by its name in the model.
        budgets: in which steps each token is run (of the region's tokens, if there is a
            region). None takes the budgets that the step cache defines, or else runs
            the tokens in all steps. With a step cache, a token is run in the steps that
            both run, and otherwise has the step cache's forecast from its own
            velocities.

    Raises:
        ValueError: for budgets together with a step cache that does not forecast the
            velocity at steps known before the run, or defines other budgets, or with a
            region whose context is not `held`.
    """

    first: int
    last: int
    region: Region | None = None
    cache: StepCache = EveryStep()
    expert: str = "transformer"
    budgets: ActiveSets | None = None

    def __post_init__(self) -> None:
        own = own_budgets(self.cache)
        if self.budgets is None and own is not None:
            object.__setattr__(self, "budgets", own)
        if self.budgets is None:
            return
        check_beside(self.cache, self.budgets)
        if self.region is not None and self.region.context != "held":
            raise ValueError(
                "tokens with budgets attend to held keys: give the region the context "
                f"'held', got {self.region.context!r}"
            )


@dataclass(frozen=True)
class StepPlan:
    """The steps of one run, as stretches without gaps.

    The run begins at the first step of the first stretch. The last step before a
    stretch with a region runs all tokens and shows where the region is.

    Attributes:
        steps: the number of steps of the schedule.
        stretches: the stretches in the order they are run; () runs nothing.

    Raises:
        ValueError: for stretches that leave gaps or do not end at the last step, for a
            region without a step of all tokens before it, for token budgets of another
            number of steps, and for token budgets with different step caches.
    """

    steps: int
    stretches: tuple[Stretch, ...]

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"a run has 1 or more steps, got {self.steps}")
        ends = [(stretch.first, stretch.last) for stretch in self.stretches]
        joined = all(low[1] == high[0] for low, high in pairwise(ends))
        if any(not 0 <= i < j for i, j in ends) or not joined:
            raise ValueError(f"stretches of steps follow each other, got {ends}")
        if ends and ends[-1][1] != self.steps:
            raise ValueError(f"the last stretch ends at {self.steps}, got {ends}")
        all_tokens = [True, *(stretch.region is None for stretch in self.stretches)]
        if not all(before or now for before, now in pairwise(all_tokens)) or (
            len(all_tokens) > 1 and not all_tokens[1]
        ):
            raise ValueError(
                "a region is shown by a step with all tokens before it: begin with a "
                f"stretch without one, got {ends}"
            )
        for stretch in self.stretches:
            if stretch.budgets is not None and stretch.budgets.steps != self.steps:
                raise ValueError(
                    f"token budgets for {stretch.budgets.steps} steps do not fit a run "
                    f"of {self.steps}: make them for as many"
                )
        if len({stretch.cache for stretch in self.stretches if stretch.budgets}) > 1:
            raise ValueError(
                "stretches with token budgets share the velocities that their step "
                "cache forecasts from: give all of them the same step cache"
            )

    @classmethod
    def plain(
        cls,
        steps: int,
        cache: StepCache = EveryStep(),
        first: int = 0,
        budgets: ActiveSets | None = None,
    ) -> "StepPlan":
        """A plan of one stretch, with the same tokens or token budgets from `first` on.

        Args:
            steps: the number of steps of the schedule.
            cache: the step cache.
            first: the first step that is run.
            budgets: token budgets; None runs all tokens in every step.
        """
        if first == steps:
            return cls(steps, ())
        stretch = Stretch(first, steps, cache=cache, budgets=budgets)
        return cls(steps, (stretch,))

    @classmethod
    def staged(
        cls,
        steps: int,
        reuse_until: int,
        region_until: int,
        region: Region | None,
        *,
        opening: int = 1,
        cache: StepCache = EveryStep(),
        budgets: ActiveSets | None = None,
    ) -> "StepPlan":
        """A plan of Chorus's three stages (arXiv 2604.04451).

        Args:
            steps: the number of steps of the schedule.
            reuse_until: K1, the step at which the run begins from the source's latents.
            region_until: K2, the step at which stage 2 ends.
            region: the region that stage 2 runs; None runs all tokens to the end.
            opening: steps at the start of stage 2 that run all tokens; the last of them
                shows where the region is.
            cache: the step cache of all stretches.
            budgets: the token budgets of all stretches.

        Raises:
            ValueError: unless 0 <= reuse_until <= region_until <= steps, and the
                opening has 1 or more steps.
        """
        if not 0 <= reuse_until <= region_until <= steps or opening < 1:
            raise ValueError(
                "expected 0 <= reuse_until <= region_until <= steps and an opening of "
                f"1 or more, got {reuse_until}, {region_until}, {steps}, {opening}"
            )
        opened = min(reuse_until + opening, region_until)
        if region is None or opened == region_until:
            return cls.plain(steps, cache, reuse_until, budgets)
        every = Stretch(reuse_until, opened, cache=cache, budgets=budgets)
        stretches = [
            every,
            replace(every, first=opened, last=region_until, region=region),
        ]
        if region_until < steps:
            stretches.append(replace(every, first=region_until, last=steps))
        return cls(steps, tuple(stretches))

    @property
    def start(self) -> int:
        """The first step that is run."""
        return self.stretches[0].first if self.stretches else self.steps

    @property
    def region(self) -> Region | None:
        """The region of the run, if it has one."""
        regions = (stretch.region for stretch in self.stretches)
        return next((region for region in regions if region is not None), None)

    def with_experts(self, experts: Sequence[str]) -> "StepPlan":
        """This plan, with its stretches cut wherever the transformer changes.

        A region cannot continue with another transformer, since the keys and values it
        attends to come from the layers of one transformer. If the transformer changes
        within a region's steps, all its steps before the last change run all tokens
        instead, and so does the step after it, which shows the region again.

        Args:
            experts: the name of the transformer of each step.
        """
        stretches: list[Stretch] = []
        for stretch in self.stretches:
            first, last = stretch.first, stretch.last
            edges = [
                i for i in range(first, last) if i and experts[i] != experts[i - 1]
            ]
            if stretch.region is not None and edges:
                shown = min(edges[-1] + 1, last)
                opening = replace(stretch, last=shown, region=None)
                stretches += _cut(opening, edges, experts)
                stretch, edges = replace(stretch, first=shown), []
            stretches += _cut(stretch, edges, experts)
        return replace(self, stretches=tuple(stretches))


def _cut(
    stretch: Stretch, edges: Sequence[int], experts: Sequence[str]
) -> list[Stretch]:
    """A stretch cut at the steps `edges`, each part with its own transformer."""
    ends = sorted({stretch.first, *edges, stretch.last})
    return [
        replace(stretch, first=i, last=j, expert=experts[i]) for i, j in pairwise(ends)
    ]
