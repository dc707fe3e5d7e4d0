"""Token schedules: the share of the tokens that is run, given step by step.

Token budgets (`budgets`) run each group of tokens in every n-th step. A schedule says
for each step how many tokens it runs, possibly none. A search over plans chooses it
(`calibration.token_plans`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class TokenSchedule:
    """The share of a video's tokens that each step runs; static and hashable.

    A step runs the tokens whose velocity changes most. The others keep their keys and
    values, and their velocities are held or forecast.

    Attributes:
        shares: the share of the tiles that is run in each step, 0 (none) to 1 (all).
        early: steps at the start of the run (or of another stage) that run all tokens
            and measure how much their velocities change; 2 or more.

    Raises:
        ValueError: for a share out of range, or too few early steps.
    """

    shares: tuple[float, ...]
    early: int = 2

    def __post_init__(self) -> None:
        if not self.shares or not all(0 <= share <= 1 for share in self.shares):
            raise ValueError(
                "a token schedule has a share from 0 to 1 for each step, got "
                f"{self.shares}"
            )
        if self.early < 2:
            raise ValueError(
                "a token schedule ranks the tokens by how their velocities change, "
                f"which takes 2 early full steps or more, got {self.early}"
            )

    @property
    def steps(self) -> int:
        """The number of steps of the schedule."""
        return len(self.shares)

    @property
    def splits(self) -> bool:
        """Whether some steps run a part of the tokens, not all or none."""
        return any(0 < share < 1 for share in self.shares)

    def sets(
        self, first: int, last: int, tiles: int, early: int
    ) -> tuple[tuple[int, ...], ...]:
        """The ranks of the tiles of each step (see `ActiveSets.sets`)."""
        sizes = [
            tiles if i < first + max(early, 1) else size_of(self.shares[i], tiles)
            for i in range(first, last)
        ]
        return tuple(tuple(range(size)) for size in sizes)


def size_of(share: float, tiles: int) -> int:
    """The number of tiles in a share of them: 1 or more unless the share is 0."""
    return max(round(share * tiles), 1) if share else 0
