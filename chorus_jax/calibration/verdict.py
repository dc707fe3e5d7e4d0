"""Verdicts: whether a policy is within its limits, and which of two is better.

The limits hold for the mean loss of each tier's hits, compared with the full runs of
the same targets, and some, stricter ones, for that of all hits together. (With a mean
over all hits alone, a tier with much reuse could lose too much as long as enough other
hits lose nothing; a tier alone often has too few hits to show a loss of one in a
hundred.) Of two policies, the better one exceeds the limits by less or, if they are
equal in this, computes less over hits and misses. If this is equal too, a new policy
must be better by more than chance: its loss, in units of the limits, must be lower by
more than the standard error of the difference, over the targets that are hits of both.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from chorus_jax.calibration.losses import (
    Loss,
    LossLimits,
    loss_per_target,
    losses,
    mean_loss,
)
from chorus_jax.calibration.record import TargetRecord
from chorus_jax.inter_request.policy.policy import Tier


@dataclass(frozen=True)
class Verdict:
    """The cost and the losses of a policy.

    Attributes:
        equivalents: the mean cost per target in full steps' worth.
        lost: for each tier that has hits, their mean loss by figure.
        per_target: the loss of each hit by its target's number, in units of the limits.
        targets: the number of targets that were run.
        given_up: whether only some targets were run, since the policy was hopeless.
        limits: the most that may be lost.
        pooled: by figure with an overall limit, the mean loss over all hits.
    """

    equivalents: float
    lost: Sequence[Mapping[str, Loss]] = ()
    per_target: Mapping[int, float] = field(default_factory=dict)
    targets: int = 0
    given_up: bool = False
    limits: LossLimits = LossLimits()
    pooled: Mapping[str, Loss] = field(default_factory=dict)

    @property
    def excess(self) -> float:
        """The sum over figures of the most that is lost beyond a limit, by a tier or by
        all hits, in units of the limit."""
        return self.excess_within(0.0)

    def excess_within(self, errors: float) -> float:
        """The excess if each loss were at the lower end of its range (`Loss.least`)."""
        limited = [
            *((name, loss, self.limits.allowed[name]) for name, loss in self.of_tiers),
            *((k, loss, self.limits.overall[k]) for k, loss in self.pooled.items()),
        ]
        most: dict[str, float] = {}
        for name, loss, limit in limited:
            excess = max(0.0, (loss.least(errors) - limit - 1e-9) / limit)
            most[name] = max(most.get(name, 0.0), excess)
        return sum(most.values(), 0.0)

    @property
    def of_tiers(self) -> list[tuple[str, Loss]]:
        """The losses of all tiers, each with its figure's name."""
        return [(name, loss) for tier in self.lost for name, loss in tier.items()]

    @property
    def holds(self) -> bool:
        """Whether there are hits, and each loss is within its limit.

        The loss of a tier may exceed its limit by its standard error, that of all hits
        together may not. The error of a single hit is not known: its loss must be
        within the limit.
        """
        least = lambda loss: loss.mean - (loss.error if loss.error < math.inf else 0.0)
        allowed, overall = self.limits.allowed, self.limits.overall
        return bool(self.of_tiers) and all(
            [
                *(least(x) <= allowed[name] + 1e-9 for name, x in self.of_tiers),
                *(x.mean <= overall[name] + 1e-9 for name, x in self.pooled.items()),
            ]
        )

    @property
    def most_lost(self) -> dict[str, Loss]:
        """By figure, the loss of the tier that loses most of it."""
        most: dict[str, Loss] = {}
        for name, loss in self.of_tiers:
            if name not in most or loss.mean > most[name].mean:
                most[name] = loss
        return most

    def better(self, other: "Verdict") -> bool:
        """Whether this policy replaces the other (see the module's docstring)."""
        if not math.isclose(self.excess, other.excess, abs_tol=1e-9):
            return self.excess < other.excess
        if not math.isclose(self.equivalents, other.equivalents):
            return self.equivalents < other.equivalents
        numbers = sorted(self.per_target.keys() & other.per_target.keys())
        gains = np.array([other.per_target[i] - self.per_target[i] for i in numbers])
        if len(gains) < 2:
            return False
        return bool(gains.mean() > gains.std(ddof=1) / len(gains) ** 0.5)


def verdict(
    records: Sequence[TargetRecord],
    full: Mapping[int, TargetRecord],
    limits: LossLimits,
    tiers: Mapping[int, Tier | None],
) -> Verdict:
    """The verdict on a policy.

    Args:
        records: the policy's runs of some targets.
        full: the full runs of these targets, by number.
        limits: the largest losses allowed.
        tiers: the tier that each of these targets reaches, by number.
    """
    hits = [record for record in records if record.ledger.kind == "semantic"]
    ours = [record.scores for record in hits]
    reference = [full[record.number].scores for record in hits]
    per_target = dict.fromkeys((hit.number for hit in hits), 0.0)
    lost = losses_of_tiers(hits, full, limits, tiers)
    values = loss_per_target(ours, reference, limits)
    for name in values:
        having = [hit.number for hit in hits if name in hit.scores]
        for number, loss in zip(having, values[name].tolist(), strict=True):
            per_target[number] += loss / limits.allowed[name]
    computed = float(np.mean([record.ledger.equivalents for record in records]))
    pooled = {k: mean_loss(values[k]) for k in limits.overall if k in values}
    count = len(records)
    return Verdict(computed, lost, per_target, count, limits=limits, pooled=pooled)


def losses_of_tiers(
    hits: Sequence[TargetRecord],
    full: Mapping[int, TargetRecord],
    limits: LossLimits,
    tiers: Mapping[int, Tier | None],
) -> list[dict[str, Loss]]:
    """For each tier that has hits, their mean loss by figure.

    Args:
        hits: records of a policy's hits.
        full: the full runs of their targets, by number.
        limits: names the figures.
        tiers: the tier that each target reaches, by number.
    """
    parts: dict[Tier | None, list[TargetRecord]] = {}
    for hit in hits:
        parts.setdefault(tiers[hit.number], []).append(hit)
    return [
        losses(
            [record.scores for record in records],
            [full[record.number].scores for record in records],
            limits,
        )
        for records in parts.values()
    ]
