"""A policy for one model: searched on some targets, confirmed on fresh ones."""

from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.calibrate.moves import Moves
from benchmarks.calibrate.runs import Runs
from benchmarks.calibrate.search import Search
from benchmarks.reuse.arms import needed
from benchmarks.reuse.bench import Bench
from benchmarks.reuse.cases import training
from benchmarks.reuse.models import Loaded
from benchmarks.reuse.scores import rows_of
from chorus_jax.inter_request.policy.policy import Policy

TIMES = ("speedup", "seconds", "spread")  # programs were compiled in between


@dataclass(frozen=True, eq=False)
class Calibration:
    """The targets that are searched on, fresh ones, and what can be changed."""

    runs: Runs
    fresh: Runs
    moves: Moves

    @classmethod
    def of(cls, loaded: Loaded, begin: Policy, options: Namespace) -> "Calibration":
        """With a cache that has what any policy may need. SystemExit if no target has a
        source."""
        count = options.targets + options.fresh
        cases = training().cases(count, max(count, options.sources), seed=0)
        keep = Moves(loaded.steps, ()).keeping(begin).keep
        bench = Bench.filled(loaded.pipeline, loaded.request, cases, keep, begin.look)
        targets = bench.targets[: options.targets]
        scores = tuple(x.score for x in targets if x.score is not None)
        if not scores:
            raise SystemExit("no target has any source: there is nothing to choose")
        runs = Runs(bench, targets), Runs(bench, bench.targets[options.targets :])
        for part in runs:
            part.fill(loaded.steps)
        runs[1].judge_by(runs[0].reliable)
        return cls(*runs, Moves(loaded.steps, scores))

    def searched(self, start: Policy, seconds: float) -> Search:
        """A search that began with this policy and has ended."""
        search = Search(
            self.moves.coordinates(), self.runs.cost, self.runs.measure, seconds
        )
        search.run(start)
        return search

    def chosen(self, starts: Sequence[Policy], search: Search) -> Policy:
        """Of what the search accepted, of the starts beside the one it began from, and
        of these with the lowest scores missed, what computes least of those that are
        allowed and hold on fresh targets. SystemExit if none does."""
        policies = [*reversed([*starts[:-1], *search.accepted])]
        policies += [
            raised for policy in policies for raised in self.moves.raised(policy)
        ]
        verdicts = {policy: self.runs.measure(policy) for policy in policies}
        allowed = [policy for policy in verdicts if verdicts[policy].excess == 0]
        for policy in sorted(allowed, key=lambda x: verdicts[x].equivalents):
            if self.fresh.measure(policy).excess_within(1) == 0:
                return policy
        raise SystemExit(
            "no policy held: whatever is reused costs more than is allowed, or "
            "--minutes or --targets were too few; nothing is written"
        )

    def rows(self, policies: Mapping[str, Policy]) -> Iterator[dict[str, Any]]:
        """What these policies do on both kinds of targets, without times."""
        for split, runs in (("search", self.runs), ("fresh", self.fresh)):
            for name, policy in policies.items():
                records = runs.records(policy, runs.targets)
                hits = {x.number for x in runs.targets if x.tier(policy)}
                for row in rows_of(records, runs.full, hits):
                    figures = {k: v for k, v in row.items() if not k.startswith(TIMES)}
                    judged = {"reliable": runs.reliable}
                    yield {"row": name, "split": split, **figures, **judged}


def kept(policy: Policy) -> Policy:
    """The policy with no more key steps than its tiers need: where each begins and
    ends, and, if it has a region, the next one, which the source's velocity is of."""
    keep = {*needed(*policy.tiers)}
    for tier in policy.tiers:
        later = [step for step in policy.keep if step > tier.reuse_until]
        if tier.active < 1 and tier.region_until > tier.reuse_until and later:
            keep.add(later[0])
    return replace(policy, keep=tuple(sorted(keep)))
