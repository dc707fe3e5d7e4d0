"""The calibration of a model of the shapes world, and rows of measured policies."""

from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.calibrate.runs import SceneRuns
from benchmarks.reuse.bench import Bench
from benchmarks.reuse.cases import training
from benchmarks.reuse.losses import LIMITS, SEARCHED
from benchmarks.reuse.models import Loaded
from benchmarks.reuse.scores import rows_of
from chorus_jax.calibration.calibration import Calibration
from chorus_jax.calibration.moves import Moves
from chorus_jax.inter_request.policy.policy import Policy

TIMES = ("speedup", "seconds", "spread")  # left out, as they include compilation


@dataclass(frozen=True, eq=False)
class SceneCalibration(Calibration):
    """A calibration on targets of the shapes world (see `Calibration`).

    Attributes:
        runs: runs of the targets that the search is measured on.
        fresh: runs of the targets that are held back, to check the search's result.
    """

    runs: SceneRuns
    fresh: SceneRuns

    @classmethod
    def of(
        cls, loaded: Loaded, begin: Policy, options: Namespace
    ) -> "SceneCalibration":
        """Fills a cache and makes full runs; returns the calibration.

        Args:
            loaded: the model.
            begin: the policy whose second look gives the scores.
            options: the command's options.

        Raises:
            SystemExit: if no target has a source.
        """
        count = options.targets + options.fresh
        cases = training().cases(half := -(-count // 2), half, seed=0)
        bench = Bench.crossed(loaded.pipeline, loaded.request, cases, begin.look)
        targets = bench.targets[: options.targets]
        scores = tuple(x.score for x in targets if x.score is not None)
        if not scores:
            raise SystemExit("no target has any source: there is nothing to choose")
        runs = SceneRuns(bench, targets, SEARCHED)
        fresh = SceneRuns(bench, bench.targets[options.targets :], LIMITS)
        for part in (runs, fresh):
            part.fill(loaded.steps)
        fresh.judge_by(runs.reliable)
        return cls(runs, fresh, Moves(loaded.steps, scores))

    def rows(self, policies: Mapping[str, Policy]) -> Iterator[dict[str, Any]]:
        """Rows of policies on the search's targets and on fresh ones, without times."""
        for split, runs in (("search", self.runs), ("fresh", self.fresh)):
            for name, policy in policies.items():
                records = runs.records(policy, runs.targets)
                hits = {x.number for x in runs.targets if x.tier(policy)}
                for row in rows_of(records, runs.full, hits):
                    figures = {k: v for k, v in row.items() if not k.startswith(TIMES)}
                    judged = {"reliable": runs.reliable}
                    yield {"row": name, "split": split, **figures, **judged}
