"""Runs scored by fidelity: PSNR and SSIM to the full run from the same noise."""

import math
from collections.abc import Sequence

import numpy as np

from chorus_jax.calibration.journal import Journal
from chorus_jax.calibration.losses import LossLimits, Scores
from chorus_jax.calibration.prompts import FilledCache, Frames, PromptTarget
from chorus_jax.calibration.record import TargetRecord
from chorus_jax.calibration.runs import PolicyRuns
from chorus_jax.calibration.target import PolicyArm, beyond_region, way
from chorus_jax.calibration.time_limit import TimeLimit
from chorus_jax.engine import Ledger
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.media.metrics import psnr, ssim
from chorus_jax.request import Request

MOST_PSNR = 60.0  # dB; equal videos would have an infinite PSNR
LEAST_FRAMES = 5  # of videos that SSIM compares
EQUAL: Scores = {"psnr": MOST_PSNR, "ssim": 1.0}


def limits_of(least_psnr: float, least_ssim: float) -> LossLimits:
    """Limits on what the hits of each tier, and all hits together, may lose in mean
    fidelity.

    Args:
        least_psnr: the least mean PSNR in dB, between 0 and 60 (PSNR is cut at 60).
        least_ssim: the least mean SSIM, between 0 and 1.

    Raises:
        ValueError: for values out of range.
    """
    if not 0 < least_psnr < MOST_PSNR:
        raise ValueError(
            f"the least PSNR must be above 0 and below {MOST_PSNR:g} dB, got "
            f"{least_psnr:g}"
        )
    if not 0 < least_ssim < 1:
        raise ValueError(
            f"the least SSIM must be above 0 and below 1, got {least_ssim:g}"
        )
    most = {"psnr": MOST_PSNR - least_psnr, "ssim": 1.0 - least_ssim}
    return LossLimits(most, overall=most)


def check_length(request: Request) -> None:
    """Raises a ValueError for videos that are too short to compare."""
    if request.frames < LEAST_FRAMES:
        raise ValueError(
            f"videos are compared from {LEAST_FRAMES} frames on, got {request.frames}: "
            "give more --frames"
        )


def fidelity(frames: Frames, reference: Frames) -> Scores:
    """The PSNR (dB, at most 60) and SSIM of a video against its full run's."""
    ratio = psnr(frames, reference)
    bounded = ratio if math.isfinite(ratio) else MOST_PSNR
    return {"psnr": min(bounded, MOST_PSNR), "ssim": ssim(frames, reference)}


class FidelityRuns(PolicyRuns[PromptTarget]):
    """Runs of policies on targets from a user's prompts, judged by fidelity.

    Attributes:
        filled: the pipeline, and the cache with the sources and full runs.
        deadline: the time after which no run begins; may be changed for each phase.
    """

    def __init__(
        self,
        filled: FilledCache,
        targets: Sequence[PromptTarget],
        limits: LossLimits,
        deadline: TimeLimit,
    ):
        super().__init__(targets, limits)
        self.filled, self.deadline = filled, deadline
        self.journal = Journal(filled.folder / "runs.jsonl")

    def arm(self, policy: Policy) -> PolicyArm:
        """An arm that runs the engine with this policy."""
        return PolicyArm(self.filled.pipeline, self.filled.cache, policy)

    def fill(self, steps: int) -> None:
        """Makes the records of full runs, which equal themselves.

        Args:
            steps: number of steps of each run.
        """
        for target in self.targets:
            ledger = Ledger("miss", steps, float(steps))
            self.full[target.number] = TargetRecord(target.number, ledger, dict(EQUAL))

    def made(self, arm: PolicyArm, target: PromptTarget) -> TargetRecord:
        """The record of a target that hits, from the journal or a new run."""
        ways = way(arm.policy, arm.plan(target), target)
        key = (*self.filled.identity(target.request), target.source, *ways)
        record = self.journal.get(key, target.number)
        if record is None:
            self.deadline.check()
            result, run = arm.run(target)
            reference = np.load(self.filled.video(target.request), mmap_mode="r")
            scores = fidelity(result.video.frames, reference)
            ledger, beyond = result.ledger, beyond_region(run)
            record = TargetRecord(target.number, ledger, scores, beyond)
            self.journal.add(key, record)
        return record
