"""The record of one target under one policy."""

from dataclasses import dataclass

from chorus_jax.calibration.losses import Scores
from chorus_jax.engine import Ledger


@dataclass(frozen=True)
class TargetRecord:
    """The run of one target under one policy.

    Attributes:
        number: the target's number.
        ledger: the run's ledger.
        scores: the video's figures.
        beyond: how much the videos differ outside the region (see `region.beyond`);
            None if the plan has no region.
    """

    number: int
    ledger: Ledger
    scores: Scores
    beyond: float | None = None

    @property
    def way(self) -> tuple[int | float, ...]:
        """A key that is equal for runs that computed the same steps and tokens."""
        ledger = self.ledger
        steps = (ledger.reuse_until, ledger.region_until)
        return *steps, ledger.active, ledger.equivalents
