"""A policy for one model: searched on some targets, confirmed on fresh ones."""

from collections.abc import Sequence
from dataclasses import dataclass

from chorus_jax.calibration.moves import Moves
from chorus_jax.calibration.runs import PolicyRuns
from chorus_jax.calibration.search import Search
from chorus_jax.inter_request.policy.policy import Policy


@dataclass(frozen=True, eq=False)
class Calibration:
    """Searches a policy, and confirms it.

    Attributes:
        runs: those that are searched on.
        fresh: those that confirm the result.
        moves: what can be changed in a policy.
    """

    runs: PolicyRuns
    fresh: PolicyRuns
    moves: Moves

    def search(self, seconds: float) -> Search:
        """A search over these runs that ends after so many seconds."""
        return Search(
            self.moves.coordinates(), self.runs.cost, self.runs.measure, seconds
        )

    def chosen(self, starts: Sequence[Policy], accepted: Sequence[Policy]) -> Policy:
        """The policy that computes least of those that are allowed and hold on fresh
        targets.

        Candidates are what the search accepted, the starts beside the one it began
        from, and these with the lowest scores missed.

        Args:
            starts: where the search could begin; it began from the last.
            accepted: by the search.

        Raises:
            ValueError: if none holds.
        """
        policies = [*reversed([*starts[:-1], *accepted])]
        policies += [
            raised for policy in policies for raised in self.moves.raised(policy)
        ]
        verdicts = {policy: self.runs.measure(policy) for policy in policies}
        allowed = [policy for policy in verdicts if verdicts[policy].excess == 0]
        for policy in sorted(allowed, key=lambda x: verdicts[x].equivalents):
            if self.fresh.measure(policy).excess_within(1.0) == 0:
                return policy
        raise ValueError(
            "no policy held: whatever is reused costs more than is allowed, or there "
            "were too few minutes or targets; nothing is written"
        )
