"""Calibrates a model on prompts, by fidelity to full runs, within a time limit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from chorus_jax.calibration.calibration import Calibration
from chorus_jax.calibration.fidelity import FidelityRuns, check_length
from chorus_jax.calibration.losses import LossLimits
from chorus_jax.calibration.moves import FEWEST, Moves
from chorus_jax.calibration.plan_table import PlanTable
from chorus_jax.calibration.prompts import FilledCache
from chorus_jax.calibration.start import starts
from chorus_jax.calibration.time_limit import TimeLimit, TimeOverError
from chorus_jax.engine import Pipeline
from chorus_jax.inter_request.policy.policies import default_policy
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.request import Request

LEAST = 16  # prompts: a third is kept back, and a tier needs five of the others
FRESH = 3  # one in this many targets is kept back to confirm the result
TABLE, SEARCH = 0.5, 0.6  # shares of the time left for the start, then for the search


@dataclass(frozen=True, eq=False)
class FidelityCalibration(Calibration):
    """A calibration on a user's prompts (see `Calibration`).

    Attributes:
        runs: runs of the prompts on which the search measures policies.
        fresh: runs of further prompts, which are kept back to check the result.
    """

    runs: FidelityRuns
    fresh: FidelityRuns

    @classmethod
    def of(
        cls,
        pipeline: Pipeline,
        requests: Sequence[Request],
        limits: LossLimits,
        folder: Path,
        deadline: TimeLimit,
    ) -> "FidelityCalibration":
        """Prepares a calibration: makes the full runs that the folder lacks.

        Args:
            pipeline: the model.
            requests: at least 16 that differ in their prompts only; each of two
                halves, taken in turn, has its sources in the other one.
            limits: the largest losses allowed (see `limits_of`).
            folder: keeps full runs and records.
            deadline: the time after which no run begins.

        Raises:
            ValueError: if there are too few requests, steps, frames or matches.
            TimeOverError: if the time is over; completed runs are in the folder.
        """
        check(requests)
        begin = default_policy(requests[0].step_count)
        seeded = [replace(x, seed=number) for number, x in enumerate(requests)]
        filled = FilledCache.of(pipeline, seeded, begin, folder, deadline)
        targets = filled.targets
        # In random order, since a file may alternate between kinds of prompts.
        order = np.random.default_rng(0).permutation(len(targets))
        fresh = [targets[i] for i in sorted(order[: len(targets) // FRESH])]
        searched = [target for target in targets if target not in fresh]
        scores = tuple(x.score for x in searched if x.score is not None)
        matched = sum(score >= 0 for score in scores)
        if matched < FEWEST:
            raise ValueError(
                f"{matched} of {len(searched)} prompts have a source with a score "
                f"of 0 or more, {FEWEST} are needed: give more prompts that are alike"
            )
        parts = [
            FidelityRuns(filled, part, limits, deadline) for part in (searched, fresh)
        ]
        for part in parts:
            part.fill(begin.steps)
        velocities = not requests[0].velocity_obstacle
        return cls(parts[0], parts[1], Moves(begin.steps, scores, velocities))

    def policy(self, deadline: TimeLimit) -> Policy:
        """Searches until the deadline for the cheapest policy that holds.

        Raises:
            ValueError: if no policy is also within the limits on fresh targets.
            TimeOverError: if the time is over before a policy is confirmed.
        """
        begin = default_policy(self.moves.steps)
        self.runs.deadline = deadline.part(TABLE)
        table = PlanTable.measured(self.runs, begin)
        first = starts(table, self.moves, begin)
        self.runs.deadline = deadline.part(SEARCH)
        search = self.search(self.runs.deadline.seconds_left)
        try:
            search.run(first[-1])
        except TimeOverError:
            pass  # policies accepted until then are measured in full
        self.runs.deadline = deadline
        return self.chosen(first, search.accepted)

    def figures(self, policy: Policy) -> dict[str, Any]:
        """Figures of a policy on fresh targets: the share of hits, full steps' worth
        computed per request, and the mean PSNR (dB) and SSIM of hits."""
        records = self.fresh.records(policy, self.fresh.targets)
        hits = [record for record in records if record.ledger.kind == "semantic"]
        mean = lambda values: sum(values) / max(len(values), 1)
        return {
            "targets": len(records),
            "hit_rate": len(hits) / len(records),
            "equivalents": mean([record.ledger.equivalents for record in records]),
            "psnr": mean([record.scores["psnr"] for record in hits]),
            "ssim": mean([record.scores["ssim"] for record in hits]),
        }


def check(requests: Sequence[Request]) -> None:
    """Raises a ValueError unless a policy can be measured with these requests."""
    if len(requests) < LEAST:
        raise ValueError(
            f"{len(requests)} different prompts are too few to measure a policy: give "
            f"{LEAST} at least, better 100"
        )
    if requests[0].step_count < 2:
        raise ValueError("a run of one step has nothing to reuse: give more --steps")
    if requests[0].own_cache is not None or requests[0].tokens is not None:
        raise ValueError(
            "a calibration chooses the step cache itself, and compares with runs of "
            "all steps and tokens: leave step_cache and tokens out of the requests"
        )
    check_length(requests[0])
