"""Coordinate by coordinate to the policy that computes least and loses little."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tqdm import tqdm

from benchmarks.calibrate_moves import Neighbours
from benchmarks.calibrate_verdict import Verdict
from chorus_jax.inter_request.policy import Policy


@dataclass
class Search:
    """`coordinates` give the policies next to one; `cost`, known without a run, is the
    least that one computes.

    `measure` runs a policy; it may give up, with a verdict that is not allowed, on one
    that is hopeless, if told that the best so far is allowed. It ends when a whole
    round changes nothing, or after `seconds`.
    """

    coordinates: Mapping[str, Neighbours]
    cost: Callable[[Policy], float]
    measure: Callable[[Policy, bool], Verdict]
    seconds: float
    accepted: list[Policy] = field(default_factory=list)
    seen: set[Policy] = field(default_factory=set)

    def run(self, start: Policy) -> list[Policy]:
        """All that were the best for a time and are allowed, the last one the best."""
        deadline = time.monotonic() + self.seconds
        self.best, self.verdict = start, self.measure(start, False)
        self.seen.add(start)
        self.note()
        with tqdm(desc="policies", unit="policy") as bar:
            changed = True
            while changed:
                changed = False
                for name, candidate in self.candidates():
                    if time.monotonic() > deadline:
                        return self.accepted
                    changed |= self.tried(candidate)
                    bar.set_postfix_str(
                        f"{self.verdict.equivalents:.2f} equivalents, "
                        f"excess {self.verdict.excess:.2f}, {name}"
                    )
                    bar.update()
        return self.accepted

    def candidates(self) -> Iterator[tuple[str, Policy]]:
        """A round: new neighbours of what is the best by then, each coordinate again
        as long as it helps."""
        for name, neighbours in self.coordinates.items():
            before = None
            while before != self.best:
                before = self.best
                for candidate in neighbours(before):
                    if candidate not in self.seen and self.worth(candidate):
                        yield name, candidate
                    if self.best != before:
                        break

    def worth(self, candidate: Policy) -> bool:
        """Whether it could take the best one's place."""
        if self.verdict.excess > 0:
            return True
        return self.cost(candidate) <= self.verdict.equivalents * (1 + 1e-9)

    def tried(self, candidate: Policy) -> bool:
        """Measures a policy; whether it is the best now."""
        self.seen.add(candidate)
        found = self.measure(candidate, self.verdict.excess == 0)
        if not found.better(self.verdict):
            return False
        self.best, self.verdict = candidate, found
        self.note()
        return True

    def note(self) -> None:
        """Remembers the best one, if it is allowed and reuses anything."""
        if self.verdict.excess == 0 and self.verdict.each:
            self.accepted.append(self.best)
