"""Token schedules: their sets of tiles, and what is refused."""

import pytest

from chorus_jax.request import Request
from chorus_jax.token_budgets import ActiveSets, TokenSchedule

SHARES = (1.0, 1.0, 0.5, 0.0, 0.01, 1.0)


def test_a_step_runs_the_tiles_that_change_most():
    ours = TokenSchedule(SHARES)
    assert isinstance(ours, ActiveSets) and ours.steps == 6 and ours.splits
    assert not TokenSchedule((1.0, 1.0, 0.0)).splits
    lengths = [len(ranks) for ranks in ours.sets(0, 6, 8, 2)]
    assert lengths == [8, 8, 4, 0, 1, 8]
    assert ours.sets(0, 6, 8, 2)[2] == (0, 1, 2, 3)
    # Another stage begins with full steps, at its own first step.
    assert [len(ranks) for ranks in ours.sets(2, 5, 8, 0)] == [8, 0, 1]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: TokenSchedule(()), "a share from 0 to 1 for each step"),
        (lambda: TokenSchedule((1.0, 1.5)), "a share from 0 to 1 for each step"),
        (lambda: TokenSchedule((1.0, 0.5), early=1), "2 early full steps or more"),
        (lambda: Request("", tokens=TokenSchedule(SHARES)), "are for 6 steps, but the"),
    ],
)
def test_other_schedules_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_request_takes_a_schedule():
    ours = TokenSchedule(SHARES)
    assert Request("", tokens=ours, steps=6).token_budgets is ours
