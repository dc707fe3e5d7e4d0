"""The protocol of token budgets and token schedules."""

from typing import Protocol, runtime_checkable


@runtime_checkable
class ActiveSets(Protocol):
    """The tokens that each step runs, by their ranks; static and hashable.

    Rank 0 is the tile whose velocity changes most in the early steps.
    """

    @property
    def steps(self) -> int:
        """The number of steps of the schedule that the sets are for."""

    @property
    def early(self) -> int:
        """Steps at the start of a run that run all tokens and rank them."""

    @property
    def splits(self) -> bool:
        """Whether some steps run a part of the tokens, not all or none."""

    def sets(
        self, first: int, last: int, tiles: int, early: int
    ) -> tuple[tuple[int, ...], ...]:
        """The ranks of the tiles that are run in each of the steps `first` to `last`.

        Args:
            first: the first step; it always runs all tokens.
            last: the step after the last one.
            tiles: the number of tiles of the video or region.
            early: the number of steps from `first` on that run all tokens.
        """
