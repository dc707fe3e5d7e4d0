"""Arms: ways to make a target's video, and what each of them tells of it."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.reuse.arms import stage1_at, with_fewer
from benchmarks.reuse.bench import Bench, Target
from benchmarks.reuse.seams import Region, region_of
from chorus_jax.denoise import sampler
from chorus_jax.denoise.staged_sampler import Staged
from chorus_jax.engine import Engine, Ledger, Reuse
from chorus_jax.engine.plans import Planned, planned
from chorus_jax.engine.prompt import Prompt
from chorus_jax.engine.running import Hit
from chorus_jax.engine.task import Task
from chorus_jax.inter_request.match.matching import Rejection
from chorus_jax.inter_request.policy.policy import Policy


@dataclass(frozen=True, eq=False)
class Run:
    """A target's video in one arm, and the region that was run, if there was one."""

    frames: np.ndarray
    ledger: Ledger
    region: Region | None = None


class Arm(Protocol):
    """A way to make a target's video."""

    def program(self, target: Target) -> Hashable:
        """What is equal for two targets if one program makes both."""

    def __call__(self, target: Target) -> Run:
        """The video."""


class Watched(Engine):
    """An engine that remembers what its last run left and began from."""

    left: tuple[Staged, Hit | Rejection] | None = None

    def run(
        self,
        task: Task,
        prompt: Prompt,
        conditions: sampler.Conditions,
        hit: Hit | Rejection,
    ) -> Staged:
        """The engine's, remembered."""
        staged = super().run(task, prompt, conditions, hit)
        self.left = staged, hit
        return staged


class Reusing:
    """An arm: the engine with a policy, on the bench's cache, leaving nothing in it."""

    def __init__(self, bench: Bench, policy: Policy):
        self.bench, self.policy = bench, policy
        self.engine = Watched(bench.pipeline, bench.cache, policy)
        self.known: dict[int, float] = {}

    def plan(self, target: Target) -> Planned | None:
        """What it runs of a target, None if everything."""
        tier, tiling = target.tier(self.policy), self.bench.tiling(target.request)
        if tier is None:
            return None
        return planned(self.policy, tier, tiling.grid, tiling.tile)

    def equivalents(self, target: Target) -> float:
        """The full steps' worth of work, known before the run; the least, as a run
        whose videos differ beyond its region computes all tokens."""
        run, tiles = self.plan(target), self.bench.tiling(target.request).count
        return float(self.policy.steps) if run is None else run.equivalents(tiles)

    def computed(self, target: Target) -> float:
        """The full steps' worth that it computes of a target; it runs, if only a run
        can tell and it has not yet."""
        plan = self.plan(target)
        if plan is None or plan.region is None:
            return self.equivalents(target)
        if target.number not in self.known:
            self(target)
        return self.known[target.number]

    def program(self, target: Target) -> Hashable:
        """Text rows, plan, and whether there are gains."""
        tier = target.tier(self.policy)
        if tier is None:
            return target.rows, self.policy.keep
        gains = (tier.key_gain, tier.output_gain) != (1, 1)
        return target.rows, self.plan(target), gains

    def __call__(self, target: Target) -> Run:
        """RuntimeError if the engine took another source than was looked up, or
        replayed a request: then figures would be of something else."""
        self.bench.forget(target.prompt)
        result = self.engine.generate(target.request, Reuse(write=False))
        ledger = result.ledger
        self.check(target, ledger)
        self.known[target.number] = ledger.equivalents
        return Run(result.video.frames, ledger, self.region(target))

    def check(self, target: Target, ledger: Ledger) -> None:
        """RuntimeError unless the engine did what was known before."""
        tier = target.tier(self.policy)
        expected: tuple[object, ...] = ("miss", None, 0, 0)
        if tier is not None:
            steps = (tier.reuse_until, tier.region_until)
            expected = ("semantic", target.source, *steps)
        got = (ledger.kind, ledger.source, ledger.reuse_until, ledger.region_until)
        if got != expected:
            raise RuntimeError(f"expected {expected} of {target}, got {ledger}")

    def region(self, target: Target) -> Region | None:
        """The core of the last run: what is not the source's again at its end. None if
        all tokens were run."""
        if self.engine.left is None:
            return None
        staged, hit = self.engine.left
        found = staged.chosen
        if found is None or not isinstance(hit, Hit) or hit.run.region is None:
            return None
        if found.whole:
            return None
        core = np.asarray(found.tiles[0, : hit.run.region.core])
        patch = self.bench.pipeline.sizes.transformer.patch
        return region_of(core, self.bench.tiling(target.request), patch)


class Equal:
    """An arm: stage 1 alone, and after it as many steps of each target, by its number,
    as `steps` says."""

    def __init__(self, bench: Bench, base: Policy, steps: Mapping[int, int]):
        self.first = {number: base.steps - count for number, count in steps.items()}
        starts = set(self.first.values())
        self.arms = {k: Reusing(bench, stage1_at(base, k)) for k in starts}

    def arm(self, target: Target) -> Reusing:
        """That with the target's start."""
        return self.arms[self.first[target.number]]

    def program(self, target: Target) -> Hashable:
        """That of the arm of the target."""
        return self.arm(target).program(target)

    def __call__(self, target: Target) -> Run:
        """What the arm of the target makes."""
        return self.arm(target)(target)


@dataclass(frozen=True)
class Fewer:
    """An arm: the pipeline, over as many steps of each target, by its number."""

    bench: Bench
    steps: Mapping[int, int]

    def program(self, target: Target) -> Hashable:
        """Text rows and steps; the pipeline's programs are not the engine's."""
        return target.rows, "fewer", self.steps[target.number]

    def __call__(self, target: Target) -> Run:
        """The video, with a ledger of a run that reuses nothing."""
        self.bench.forget(target.prompt)
        steps = self.steps[target.number]
        [video] = self.bench.pipeline(with_fewer(target.request, steps))
        ledger = Ledger(
            "miss", steps, float(steps), reason="reuses nothing", seconds=video.seconds
        )
        return Run(video.frames, ledger)
