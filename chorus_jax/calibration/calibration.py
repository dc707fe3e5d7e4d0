"""Calibration of a policy for one model: search on some targets, check on others."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from chorus_jax.calibration.moves import Moves
from chorus_jax.calibration.runs import PolicyRuns
from chorus_jax.calibration.search import Search
from chorus_jax.inter_request.policy.policy import Policy

GENTLER = 2  # copies of the best policy with less reuse; each needs new runs


@dataclass(frozen=True, eq=False)
class Calibration:
    """Searches a policy for one model and confirms it on fresh targets.

    Attributes:
        runs: runs of the targets that the search measures policies on.
        fresh: runs of other targets, which confirm the result.
        moves: the changes of a policy that the search tries.
    """

    runs: PolicyRuns
    fresh: PolicyRuns
    moves: Moves

    def search(self, seconds: float) -> Search:
        """A search measured on `runs` that ends after `seconds`."""
        return Search(
            self.moves.coordinates(), self.runs.cost, self.runs.measure, seconds
        )

    def chosen(self, starts: Sequence[Policy], accepted: Sequence[Policy]) -> Policy:
        """The cheapest policy within the limits that also holds on the fresh targets.

        Candidates are the policies that the search accepted, the starts that it did not
        begin from, copies of both with the lowest threshold raised, and copies of the
        last accepted one that begin up to `GENTLER` places earlier. On the fresh
        targets there must be hits, and the losses of a tier may exceed the limits by
        one standard error (see `Verdict.holds`).

        Args:
            starts: policies to start from; the search began from the last.
            accepted: policies that the search accepted.

        Raises:
            ValueError: if no candidate holds.
        """
        policies = [*reversed([*starts[:-1], *accepted])]
        policies += [
            raised for policy in policies for raised in self.moves.raised(policy)
        ]
        for last in accepted[-1:]:
            policies += itertools.islice(self.moves.gentler(last), GENTLER)
        verdicts = {policy: self.runs.measure(policy) for policy in policies}
        allowed = [policy for policy in verdicts if verdicts[policy].excess == 0]
        for policy in sorted(allowed, key=lambda x: verdicts[x].equivalents):
            if self.fresh.measure(policy).holds:
                return policy
        raise ValueError(
            "no policy held: whatever is reused costs more than is allowed, or there "
            "were too few minutes or targets; nothing is written"
        )
