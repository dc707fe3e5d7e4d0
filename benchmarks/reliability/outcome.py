"""The outcome of an attack."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class AttackOutcome:
    """Counts of an attack on a store; all but `tries` should be 0.

    Attributes:
        tries: the number of kills, changed files, admissions or requests.
        lost: entries that were safely admitted, were not damaged, and are gone.
        wrong: wrong entries or videos.
        stuck: threads or processes that did not end in time.
        figures: further figures of this attack.
    """

    tries: int = 0
    lost: int = 0
    wrong: int = 0
    stuck: int = 0
    figures: dict[str, Any] = field(default_factory=dict)

    def row(self, name: str, seconds: float) -> dict[str, Any]:
        """The outcome as a row of results."""
        counts = (self.tries, self.lost, self.wrong, self.stuck)
        names = ("tries", "lost", "wrong", "stuck")
        measured = dict(zip(names, counts, strict=True))
        return {"row": name, **measured, "seconds": seconds, **self.figures}
