"""The ledger of a request: what was reused, what was computed, and the time it took."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["exact", "semantic", "miss"]


@dataclass(frozen=True)
class Ledger:
    """Account of a request: what was reused, what was computed, and the time it took.

    Attributes:
        kind: `exact`: the final latents of the same request were stored. `semantic`:
            the run began from another request's latents. `miss`: everything was
            computed.
        steps: the number of steps of the schedule.
        equivalents: the work that was computed, in full steps; a step of half the
            tokens is about half a step.
        score: the score of the best source, 0 to 1; None if there was no candidate. For
            an exact repeat, the score with which the stored video was made: 1 if it was
            made without a source.
        source: the id of the entry that was reused; None on a miss, and if the entry
            belongs to another namespace.
        reuse_until: the step K1 at which a semantic hit began; 0 otherwise.
        region_until: the step K2 up to which only part of the tokens was run.
        active: the share of the tokens that was run up to K2, 0 to 1.
        reason: why the request was a miss, why the stored video of the same request was
            not returned, or why a hit ran all tokens (the videos differ beyond the
            region, or the tier's or the caller's region was not used); "" otherwise.
        step_cache: the step cache that ran, as a policy file describes it; "" if
            there was none.
        reused: the work that was not computed because an earlier result of the run was
            reused, scaled or not, by the step cache or for tokens that their budgets
            leave out; in full steps. What the source saved is not part of it: see
            `reuse_until` and `active`.
        forecast: the same where the step cache extrapolated from several earlier
            results. Such a step cache counts all that it saved here, also where it had
            a single result yet.
        seconds: time by part: `embed`, `look_up`, `load`, `denoise`, `decode`.
    """

    kind: Kind
    steps: int
    equivalents: float
    score: float | None = None
    source: str | None = None
    reuse_until: int = 0
    region_until: int = 0
    active: float = 1.0
    reason: str = ""
    step_cache: str = ""
    reused: float = 0.0
    forecast: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """The seconds of all parts together."""
        return sum(self.seconds.values())
