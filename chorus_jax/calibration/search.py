"""Coordinate search for the cheapest policy within the limits."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from tqdm import tqdm

from chorus_jax.calibration.moves import Neighbours
from chorus_jax.calibration.tiers import decides, effective
from chorus_jax.calibration.verdict import Verdict
from chorus_jax.inter_request.policy.policy import Policy

MORE, NOTHING = "computes more", "does nothing"  # reasons not to run a policy


@dataclass(frozen=True)
class Trial:
    """A measured policy, compared with the best one so far.

    Attributes:
        coordinate: the name of the setting that was changed.
        before: the best policy so far.
        after: the policy that was measured.
        best: the verdict on `before`.
        verdict: the verdict on `after`.
        taken: whether `after` replaced `before`.
    """

    coordinate: str
    before: Policy
    after: Policy
    best: Verdict
    verdict: Verdict
    taken: bool

    @property
    def why(self) -> str:
        """The reason why the policy was or was not taken."""
        if self.verdict.given_up:
            return "given up"
        if self.taken:
            if self.verdict.excess < self.best.excess:
                return "loses less"
            cheaper = self.verdict.equivalents < self.best.equivalents
            return "computes less" if cheaper else "better"
        return "loses too much" if self.verdict.excess > 0 else "no better"


@dataclass
class Search:
    """A search for better policies that changes one coordinate at a time.

    It ends when a whole round changes nothing, or after `seconds`.

    Attributes:
        coordinates: by name, a function that yields the neighbours of a policy.
        cost: the least cost of a policy in full steps' worth, known without a run; for
            a step cache that decides during the run, the cost of computing all steps.
        measure: runs a policy. Its second argument is True if the best policy so far is
            within the limits; then a hopeless policy may be given up early, with a
            failing verdict.
        seconds: the time limit of the search.
        accepted: all policies within the limits that were the best at some time.
        trials: the trials of all policies that were measured, in order.
        passed: the number of policies that were not run, by coordinate and reason.
        rounds: the number of complete rounds.
        untried: coordinates that the first round had no time for.
        seen: policies that are not tried again.
    """

    coordinates: Mapping[str, Neighbours]
    cost: Callable[[Policy], float]
    measure: Callable[[Policy, bool], Verdict]
    seconds: float
    accepted: list[Policy] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    passed: Counter[tuple[str, str]] = field(default_factory=Counter)
    rounds: int = 0
    untried: tuple[str, ...] = ()
    seen: set[Policy] = field(default_factory=set)

    def run(self, start: Policy) -> list[Policy]:
        """Searches from a policy; returns `accepted`, whose last is the best."""
        deadline = time.monotonic() + self.seconds
        self.best, self.verdict = start, self.measure(start, False)
        self.seen |= {start, effective(start)}
        self.note()
        with tqdm(desc="policies", unit="policy", disable=None) as bar:
            changed = True
            while changed:
                changed = False
                for name, candidate in self.candidates():
                    if time.monotonic() > deadline:
                        self.end(name)
                        return self.accepted
                    changed |= self.tried(name, candidate)
                    bar.set_postfix_str(
                        f"{self.verdict.equivalents:.2f} equivalents, "
                        f"excess {self.verdict.excess:.2f}, {name}"
                    )
                    bar.update()
                self.rounds += 1
        return self.accepted

    def end(self, name: str) -> None:
        """Records in `untried` that time ran out at this coordinate."""
        names = list(self.coordinates)
        if not self.rounds:
            self.untried = tuple(names[names.index(name) :])

    def candidates(self) -> Iterator[tuple[str, Policy]]:
        """The policies to try in a round: new neighbours of the best one so far.

        A coordinate is tried again as long as it brings improvements. In the first
        round the search goes on to the next coordinate after one improvement, so that
        all coordinates are tried.
        """
        for name, neighbours in self.coordinates.items():
            before = None
            while before != self.best:
                before = self.best
                for candidate in neighbours(before):
                    if self.worth(name, candidate):
                        yield name, candidate
                    if self.best != before:
                        break
                if not self.rounds:
                    break

    def worth(self, name: str, candidate: Policy) -> bool:
        """Whether a candidate is new and could replace the best policy.

        Once the best policy is within the limits, a candidate that computes more can
        replace neither it nor a later best policy, since costs only fall.
        """
        if candidate in self.seen:
            return False
        alike = effective(candidate)
        known, idle = alike in self.seen, alike == effective(self.best)
        self.seen |= {candidate, alike}
        if idle:
            self.passed[name, NOTHING] += 1
        if known:
            return False
        if self.verdict.excess == 0 and self.dearer(candidate):
            self.passed[name, MORE] += 1
            return False
        return True

    def dearer(self, candidate: Policy) -> bool:
        """Whether a candidate is expected to compute more than the best policy.

        What a step cache skips that decides during the run is not known before it. Then
        a candidate is compared with the best policy as if neither skipped steps, if
        both have the same step cache, and is not expected to compute more if not.
        """
        best = self.verdict.equivalents
        if decides(candidate.cache):
            if candidate.cache != self.best.cache:
                return False
            best = self.cost(self.best)
        return self.cost(candidate) > best * (1 + 1e-9)

    def tried(self, name: str, candidate: Policy) -> bool:
        """Measures a policy; returns whether it is the new best."""
        verdict = self.measure(candidate, self.verdict.excess == 0)
        taken = verdict.better(self.verdict)
        self.trials.append(
            Trial(name, self.best, candidate, self.verdict, verdict, taken)
        )
        if taken:
            self.best, self.verdict = candidate, verdict
            self.note()
        return taken

    def note(self) -> None:
        """Accepts the best policy, if it is within the limits and has any hit."""
        if self.verdict.excess == 0 and self.verdict.per_target:
            self.accepted.append(self.best)
