"""The outcome of an attack."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class AttackOutcome:
    """Counts of an attack on a store; all but `tries` are to be 0.

    Attributes:
        tries: how often it was attacked: kills, changed files, admissions, requests.
        lost: entries that were safely admitted, were not attacked, and are gone.
        wrong: entries or videos that are not what they must be.
        stuck: what did not end in its time.
        figures: further ones of this attack.
    """

    tries: int = 0
    lost: int = 0
    wrong: int = 0
    stuck: int = 0
    figures: dict[str, Any] = field(default_factory=dict)

    def row(self, name: str, seconds: float) -> dict[str, Any]:
        """The row of results."""
        counts = (self.tries, self.lost, self.wrong, self.stuck)
        names = ("tries", "lost", "wrong", "stuck")
        measured = dict(zip(names, counts, strict=True))
        return {"row": name, **measured, "seconds": seconds, **self.figures}
