"""Arms: ways to make a target's video, and records of their runs."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.reuse.arms import stage1_at, with_fewer
from benchmarks.reuse.bench import Bench, Target
from benchmarks.reuse.seams import Region, region_of
from chorus_jax.calibration.target import PolicyArm, beyond_region, tier_of
from chorus_jax.engine import Denoised, Ledger
from chorus_jax.inter_request.policy.policy import Policy


@dataclass(frozen=True, eq=False)
class ArmRun:
    """The result of making a target's video in one arm.

    Attributes:
        frames: the video, [f h w 3] in 8 bits.
        ledger: the request's ledger.
        region: the core of the region that was run; None if all tokens were run.
        beyond: how much the target differs from its source outside the region; None if
            the plan has no region.
    """

    frames: np.ndarray
    ledger: Ledger
    region: Region | None = None
    beyond: float | None = None


class Arm(Protocol):
    """A way to make a target's video."""

    def program(self, target: Target) -> Hashable:
        """A key that is equal for targets that the same compiled program makes."""

    def __call__(self, target: Target) -> ArmRun:
        """Makes the target's video."""


class Reusing(PolicyArm):
    """An arm: the engine with a policy, on the bench's cache, without writing to it."""

    def __init__(self, bench: Bench, policy: Policy):
        super().__init__(bench.pipeline, bench.cache, policy)
        self.bench = bench
        self.known: dict[int, float] = {}

    def computed(self, target: Target) -> float:
        """The work for a target, in full steps.

        If its plan has a region, the target is run once to measure the work.
        """
        plan = self.plan(target)
        if plan is None or plan.region is None:
            return self.equivalents(target)
        if target.number not in self.known:
            self(target)
        return self.known[target.number]

    def program(self, target: Target) -> Hashable:
        """A key of text rows, plan, and whether there are gains."""
        tier = tier_of(target, self.policy)
        if tier is None:
            return target.rows, "miss"
        gains = (tier.key_gain, tier.output_gain) != (1, 1)
        return target.rows, self.plan(target), gains

    def __call__(self, target: Target) -> ArmRun:
        """Makes the target's video. Raises a RuntimeError as in `run`."""
        self.bench.forget(target.request)
        result, run = self.run(target)
        self.known[target.number] = result.ledger.equivalents
        region, beyond = self.region(target, run), beyond_region(run)
        return ArmRun(result.video.frames, result.ledger, region, beyond)

    def region(self, target: Target, run: Denoised) -> Region | None:
        """The core of a run's region; None if all tokens were run.

        Only its tiles keep the target's latents when the region ends; all other tiles
        take the source's.
        """
        region, chosen = run.plan.region, run.chosen
        if region is None or chosen is None or chosen.all_tokens:
            return None
        core = np.asarray(chosen.tiles[0, : region.core])
        geometry = self.bench.pipeline.model.geometry(target.request)
        return region_of(core, geometry.tiling, geometry.patch)


class Equal:
    """An arm: stage 1 alone; each target then runs its last `steps[number]` steps."""

    def __init__(self, bench: Bench, base: Policy, steps: Mapping[int, int]):
        self.first = {number: base.steps - count for number, count in steps.items()}
        starts = set(self.first.values())
        self.arms = {k: Reusing(bench, stage1_at(base, k)) for k in starts}

    def arm(self, target: Target) -> Reusing:
        """The arm with the target's start."""
        return self.arms[self.first[target.number]]

    def program(self, target: Target) -> Hashable:
        """The program of the target's arm."""
        return self.arm(target).program(target)

    def __call__(self, target: Target) -> ArmRun:
        """Makes the video by the target's arm."""
        return self.arm(target)(target)


@dataclass(frozen=True)
class Fewer:
    """An arm: the pipeline without reuse, over fewer steps.

    Attributes:
        bench: the model, the cache and the targets.
        steps: the number of steps, by the target's number.
    """

    bench: Bench
    steps: Mapping[int, int]

    def program(self, target: Target) -> Hashable:
        """A key of text rows and steps, different from all keys of an engine's runs."""
        return target.rows, "fewer", self.steps[target.number]

    def __call__(self, target: Target) -> ArmRun:
        """Makes the video, with the ledger of a run that reuses nothing."""
        self.bench.forget(target.request)
        steps = self.steps[target.number]
        [video] = self.bench.pipeline(with_fewer(target.request, steps))
        ledger = Ledger(
            "miss", steps, float(steps), reason="reuses nothing", seconds=video.seconds
        )
        return ArmRun(video.frames, ledger)
