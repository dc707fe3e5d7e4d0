"""Runs scored by fidelity: PSNR and SSIM to the full run from the same noise."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from chorus_jax.calibration.journal import Journal, digest_of
from chorus_jax.calibration.losses import LossLimits, Scores
from chorus_jax.calibration.prompts import FilledCache, PromptTarget
from chorus_jax.calibration.record import TargetRecord
from chorus_jax.calibration.runs import PolicyRuns
from chorus_jax.calibration.target import PolicyArm, way
from chorus_jax.calibration.time_limit import TimeLimit
from chorus_jax.engine import Ledger
from chorus_jax.engine.recipes import recipe_of
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.media.metrics import psnr, ssim
from chorus_jax.request import Request

MOST_PSNR = 60.0  # dB; equal videos would have an infinite PSNR
LEAST_FRAMES = 5  # of videos that SSIM compares
EQUAL: Scores = {"psnr": MOST_PSNR, "ssim": 1.0}

Frames = UInt8[np.ndarray, "f y x 3"]


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
        filled: the pipeline and the cache with the sources.
        folder: keeps the full runs and the journal.
        deadline: the time after which no run begins; may be changed for each phase.
    """

    def __init__(
        self,
        filled: FilledCache,
        targets: Sequence[PromptTarget],
        limits: LossLimits,
        folder: Path,
        deadline: TimeLimit,
    ):
        super().__init__(targets, limits)
        self.filled, self.folder, self.deadline = filled, folder, deadline
        self.journal = Journal(folder / "runs.jsonl")

    def arm(self, policy: Policy) -> PolicyArm:
        """An arm that runs the engine with this policy."""
        return PolicyArm(self.filled.pipeline, self.filled.cache, policy)

    def fill(self, steps: int) -> None:
        """Makes the full runs that the folder does not hold yet.

        Args:
            steps: number of steps of each run.

        Raises:
            TimeOverError: if the time is over; completed runs are in the folder.
        """
        arm = self.arm(Policy(steps, ()))
        for target in tqdm(self.targets, "full runs", unit="video", disable=None):
            path = self.full_run(target)
            if not path.exists():
                self.deadline.check()
                result, _ = arm.run(target)
                save(path, result.video.frames)
            ledger = Ledger("miss", steps, float(steps))
            self.full[target.number] = TargetRecord(target.number, ledger, dict(EQUAL))

    def full_run(self, target: PromptTarget) -> Path:
        """The file of a target's full run."""
        return self.folder / f"{digest_of(self.identity(target))[:32]}.npy"

    def identity(self, target: PromptTarget) -> tuple[str, str, int | None]:
        """Recipe, prompt and seed, which determine a full run."""
        request = target.request
        model, full = self.filled.pipeline.model, Policy(request.step_count, ())
        return recipe_of(request, model, full).digest, request.prompt, request.seed

    def made(self, arm: PolicyArm, target: PromptTarget) -> TargetRecord:
        """The record of a target that hits, from the journal or a new run."""
        ways = way(arm.policy, arm.plan(target), target)
        key = (*self.identity(target), target.source, *ways)
        record = self.journal.get(key, target.number)
        if record is None:
            self.deadline.check()
            result, _ = arm.run(target)
            reference = np.load(self.full_run(target), mmap_mode="r")
            scores = fidelity(result.video.frames, reference)
            record = TargetRecord(target.number, result.ledger, scores)
            self.journal.add(key, record)
        return record


def save(path: Path, frames: Frames) -> None:
    """Writes frames to a file, atomically."""
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, frames)
    part.replace(path)
