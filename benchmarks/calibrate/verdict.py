"""Whether a policy's videos are as good as full ones, and which of two is better.

A policy is allowed to lose a point of accuracy and two per cent of detail: means over
its hits, against the full runs of the same targets. Accuracy is of the attributes that
the model does well (see `chorus_scores.of_reliable`): a point of another one takes a
thousand hits to see. Of those that differ from the source, which a few dozen hits have,
it may lose three points, and no more of all that differs, or what the model does badly
would be given away.

Of two policies the better is that which exceeds this less; then that which computes
less, over hits and misses. Where that is equal too, the new one must be better by more
than chance: its loss, in units of what is allowed, less by more than the standard error
of the difference over the targets that both hit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from benchmarks.reuse.losses import Loss, each_loss, losses
from benchmarks.reuse.scores import Record

ALLOWED = {
    "accuracy_reliable": 0.01,
    "changed_reliable": 0.03,
    "accuracy_changed": 0.03,
    "detail": 0.02,
}


@dataclass(frozen=True)
class Verdict:
    """Full steps' worth computed, the mean over so many targets; what hits lose; and
    each hit's loss by its target, in units of what is allowed. Not all targets were run
    if it was `given_up`."""

    equivalents: float
    lost: Mapping[str, Loss] = field(default_factory=dict)
    per_target: Mapping[int, float] = field(default_factory=dict)
    targets: int = 0
    given_up: bool = False

    @property
    def excess(self) -> float:
        """How far beyond what is allowed it is, 0 if it is not."""
        return self.excess_within(0)

    def excess_within(self, errors: float) -> float:
        """The same, if each loss is less by so many standard errors than it seems."""
        excess = 0.0
        for name, loss in self.lost.items():
            # One target's error is infinite, and no times that is no number.
            mean = loss.mean - errors * loss.error if errors else loss.mean
            excess += max(0.0, (mean - ALLOWED[name] - 1e-9) / ALLOWED[name])
        return excess

    def better(self, other: "Verdict") -> bool:
        """Whether it takes the other's place."""
        if not math.isclose(self.excess, other.excess, abs_tol=1e-9):
            return self.excess < other.excess
        if not math.isclose(self.equivalents, other.equivalents):
            return self.equivalents < other.equivalents
        numbers = sorted(self.per_target.keys() & other.per_target.keys())
        gains = np.array([other.per_target[i] - self.per_target[i] for i in numbers])
        if len(gains) < 2:
            return False
        return bool(gains.mean() > gains.std(ddof=1) / len(gains) ** 0.5)


def verdict(records: list[Record], full: Mapping[int, Record]) -> Verdict:
    """That of a policy's records, with the same targets' full runs."""
    hits = [record for record in records if record.ledger.kind == "semantic"]
    ours = [record.scores for record in hits]
    theirs = [full[record.number].scores for record in hits]
    per_target = dict.fromkeys((hit.number for hit in hits), 0.0)
    lost = {k: x for k, x in losses(ours, theirs).items() if k in ALLOWED}
    values = each_loss(ours, theirs)
    for name in lost:
        having = [hit.number for hit in hits if name in hit.scores]
        for number, loss in zip(having, values[name].tolist(), strict=True):
            per_target[number] += loss / ALLOWED[name]
    computed = float(np.mean([record.ledger.equivalents for record in records]))
    return Verdict(computed, lost, per_target, len(records))
