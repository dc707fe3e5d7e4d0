"""Runs of policies on the targets of a bench, none of them twice."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

from tqdm import tqdm

from benchmarks.calibrate.verdict import Verdict, verdict
from benchmarks.lib.judged import means
from benchmarks.reuse.bench import Bench, Target
from benchmarks.reuse.running import Reusing, Run
from benchmarks.reuse.scores import Record, of_reliable, scored
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.training.world.attributes import VALUES

LOOKS = 4  # times that a hopeless policy can be given up before its end
HOPELESS = 2.0  # standard errors
WELL = 0.8  # of the full runs have an attribute right


@dataclass
class Runs:
    """Records of some targets; the first use makes their full runs."""

    bench: Bench
    targets: Sequence[Target]
    videos: dict[int, Run] = field(default_factory=dict)
    full: dict[int, Record] = field(default_factory=dict)
    known: dict[Hashable, Record] = field(default_factory=dict)
    reliable: tuple[str, ...] = ()

    def fill(self, steps: int) -> None:
        """Makes the full runs over so many steps: they tell what the model does well.
        SystemExit if that is nothing."""
        arm, scores = Reusing(self.bench, Policy(steps, (), ())), []
        for target in tqdm(self.targets, desc="full runs", unit="video"):
            run = self.videos[target.number] = arm(target)
            scores.append(scored(target, run, run))
        mean = means(scores)
        self.reliable = tuple(
            name for name in VALUES if mean.get(f"accuracy_{name}", 0.0) >= WELL
        )
        if not self.reliable:
            raise SystemExit(
                f"the model has no attribute right in {WELL:.0%} of full runs, so "
                f"nothing tells what reuse loses; got {mean}: train it more, or take "
                "more steps"
            )
        for target, judged in zip(self.targets, scores, strict=True):
            ledger = self.videos[target.number].ledger
            self.full[target.number] = Record(target.number, ledger, judged)
        self.judge_by(self.reliable)

    def judge_by(self, names: tuple[str, ...]) -> None:
        """Judges all runs by these attributes."""
        self.reliable = names
        for number, record in self.full.items():
            scores = of_reliable(record.scores, names)
            self.full[number] = replace(record, scores=scores)

    def cost(self, policy: Policy) -> float:
        """The mean full steps' worth over all targets, without a run: the least, since
        regions may give way."""
        arm = Reusing(self.bench, policy)
        return sum(map(arm.equivalents, self.targets)) / len(self.targets)

    def measure(self, policy: Policy, may_give_up: bool = False) -> Verdict:
        """The verdict over all targets, or over those at which it was given up."""
        part = -(-len(self.targets) // LOOKS) if may_give_up else len(self.targets)
        records: list[Record] = []
        result = Verdict(float(policy.steps))
        for first in range(0, len(self.targets), part):
            records += self.records(policy, self.targets[first : first + part])
            result = verdict(records, self.full)
            if result.excess_within(HOPELESS) > 0:
                return replace(result, given_up=len(records) < len(self.targets))
        return result

    def records(self, policy: Policy, targets: Sequence[Target]) -> list[Record]:
        """A policy's records of these targets."""
        arm = Reusing(self.bench, policy)
        bar = tqdm(targets, desc="targets", unit="video", leave=False)
        return [self.record(arm, target) for target in bar]

    def record(self, arm: Reusing, target: Target) -> Record:
        """That of one target; a miss is its full run."""
        tier = target.tier(arm.policy)
        if tier is None:
            return self.full[target.number]
        key = (target.number, *way(arm, target))
        if key not in self.known:
            run = arm(target)
            scores = scored(target, run, self.videos[target.number])
            scores = of_reliable(scores, self.reliable)
            self.known[key] = Record(target.number, run.ledger, scores)
        return self.known[key]


def way(arm: Reusing, target: Target) -> tuple[Hashable, ...]:
    """What decides a hit's video besides its target: plan and gains, which do something
    in stage 2 only."""
    tier, plan = target.tier(arm.policy), arm.plan(target)
    if tier is None or plan is None or target.score is None:
        return ()
    plan = replace(plan, keep=())
    gains = (tier.key_gain, tier.output_gain)
    if tier.region_until == tier.reuse_until or gains == (1, 1):
        return plan, (1, 1)
    # They fall over stage 2, whose end is no part of a plan without a region.
    return plan, gains, target.score, tier.region_until
