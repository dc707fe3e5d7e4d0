"""The ledger of a request: what was reused, what was computed, and what it took."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["exact", "semantic", "miss"]


@dataclass(frozen=True)
class Ledger:
    """Account of a request: what was reused, what was computed, and the time it took.

    `exact`: the final latents of the same request were stored. `semantic`: it began at
    step `reuse_until` from the latents of `source`, and up to `region_until` only an
    `active` share of the tokens was run; `reason` says so if all were, because the
    videos differ beyond the region, or if the caller's region was not used. `miss`: all
    was computed; `reason` says why. It also says why a stored video of the very request
    was not the result. `own_noise` is False where the video has the noise of a source,
    whatever the request's seed.

    `steps` are the schedule's, `equivalents` the full steps' worth that was computed.
    `score` is that of the best source, None if there was none to look at; of a replay
    that with which the stored video was made, 1 if from none. `source` is None if it is
    another namespace's. `seconds` are by part: `embed`, `look_up`, `load`, `denoise`,
    `decode`.
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
    own_noise: bool = True
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """All seconds."""
        return sum(self.seconds.values())
