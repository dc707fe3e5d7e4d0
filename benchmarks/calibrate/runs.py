"""Runs of policies on targets of the shapes world, judged by its oracle."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tqdm import tqdm

from benchmarks.lib.judged import means
from benchmarks.reuse.bench import Bench, Target
from benchmarks.reuse.losses import RELIABLE
from benchmarks.reuse.running import ArmRun, Reusing
from benchmarks.reuse.scores import of_reliable, scored
from chorus_jax.calibration.losses import LossLimits
from chorus_jax.calibration.record import TargetRecord
from chorus_jax.calibration.runs import PolicyRuns
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.training.world.attributes import VALUES

WELL = 0.8  # an attribute is reliable if at least this share of full runs has it right


class SceneRuns(PolicyRuns[Target]):
    """Runs of policies on targets of the shapes world, judged by its oracle.

    Attributes:
        bench: the pipeline and the filled cache.
        videos: the full runs, by the target's number.
        reliable: the attributes that the model renders reliably; only these are judged.
    """

    def __init__(self, bench: Bench, targets: Sequence[Target], limits: LossLimits):
        super().__init__(targets, limits)
        self.bench = bench
        self.videos: dict[int, ArmRun] = {}
        self.reliable: tuple[str, ...] = ()

    def arm(self, policy: Policy) -> Reusing:
        """The engine with a policy."""
        return Reusing(self.bench, policy)

    def made(self, arm: Any, target: Target) -> TargetRecord:
        """Makes a target that is a hit; the oracle judges its video."""
        run = arm(target)
        scores = scored(target, run, self.videos[target.number])
        scores = of_reliable(scores, self.reliable)
        return TargetRecord(target.number, run.ledger, scores, run.beyond)

    def fill(self, steps: int) -> None:
        """Makes the full runs that the bench lacks, and finds reliable attributes.

        Args:
            steps: number of steps of each run.

        Raises:
            SystemExit: if no attribute is reliable.
        """
        arm, scores = self.arm(Policy(steps, ())), []
        for target in tqdm(self.targets, desc="full runs", unit="video"):
            full = self.bench.full.get(target.number)
            run = ArmRun(full.video.frames, full.ledger) if full else arm(target)
            self.videos[target.number] = run
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
            self.full[target.number] = TargetRecord(target.number, ledger, judged)
        self.judge_by(self.reliable)

    def judge_by(self, names: tuple[str, ...]) -> None:
        """Sets the reliable attributes, and judges the full runs by them.

        A hit takes over what its source shows, right or wrong. So an attribute that a
        target shares with its source counts in the reference's `accuracy_reliable` as
        it does in the source's own video, which is as often right as a full run. With
        the full run it would be a matter of luck which of the two is right.
        """
        self.reliable = names
        for target in self.targets:
            record = self.full[target.number]
            source = {f"accuracy_{name}": right for name, right in target.kept.items()}
            judged = of_reliable({**record.scores, **source}, names)
            added = {name: judged[name] for name in RELIABLE if name in judged}
            scores = {**record.scores, **added}
            self.full[target.number] = replace(record, scores=scores)
