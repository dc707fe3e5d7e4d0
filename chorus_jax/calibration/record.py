"""The record of one target under one policy."""

from dataclasses import dataclass

from chorus_jax.calibration.losses import Scores
from chorus_jax.engine import Ledger


@dataclass(frozen=True)
class TargetRecord:
    """The run of one target under one policy.

    Attributes:
        number: of the target.
        ledger: of the run.
        scores: figures of the video.
    """

    number: int
    ledger: Ledger
    scores: Scores

    @property
    def way(self) -> tuple[int | float, ...]:
        """Equal for runs that compute alike."""
        ledger = self.ledger
        steps = (ledger.reuse_until, ledger.region_until)
        return *steps, ledger.active, ledger.equivalents
