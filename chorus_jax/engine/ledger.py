"""The ledger of a request: what was reused, what was computed, and what it took."""

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
        steps: those of the schedule.
        equivalents: the full steps' worth that was computed; a step of half the tokens
            is about half a step.
        score: that of the best source, 0 to 1; None if there was none to look at. Of an
            exact repeat the score with which the stored video was made, 1 if from none.
        source: the id of the entry that was reused; None on a miss, and if the entry is
            another namespace's.
        reuse_until: the step K1 at which a semantic hit began; 0 else.
        region_until: the step K2 up to which only part of the tokens was run.
        active: the share of the tokens that was run up to K2, 0 to 1.
        reason: why it is a miss, why a stored video of the very request was not the
            result, or why a hit ran all tokens (the videos differ beyond the region, or
            the caller's region was not used); "" if there is nothing to say.
        step_cache: the step cache that ran, as a policy file describes it; "" if every
            step was computed.
        taken_over: the full steps' worth that it took over from other steps, as they
            were or forecast, as the cache does.
        own_noise: False where the video has the noise of a source, whatever the
            request's seed.
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
    taken_over: float = 0.0
    own_noise: bool = True
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """All seconds."""
        return sum(self.seconds.values())
