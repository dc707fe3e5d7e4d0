"""Token budgets: the paper's active sets, turns, forced steps, what is refused."""

import pytest

from chorus_jax.token_budgets import TokenBudgets, TokenGroup


def budgets(steps, *groups, **fields):
    return TokenBudgets(steps, tuple(TokenGroup(*group) for group in groups), **fields)


def test_the_active_sets_are_the_papers():
    """A group with budget s is active in the steps i with i mod (T / s) = 0."""
    ours = budgets(8, (0.25, 8), (0.25, 4), (0.25, 2), (0.25, 1))
    groups = ((0,), (1,), (2,), (3,))
    for i in range(8):
        active = [k for k, period in enumerate((1, 2, 4, 8)) if i % period == 0]
        want = tuple(rank for k in active for rank in groups[k])
        assert ours.active(i, 4) == want
    assert [len(ours.active(i, 4)) for i in range(8)] == [4, 1, 2, 1, 3, 1, 2, 1]


@pytest.mark.parametrize("staggered", [False, True])
@pytest.mark.parametrize("tiles", [8, 21, 100])
def test_each_tile_is_run_in_as_many_steps_as_its_budget(staggered, tiles):
    ours = budgets(20, (0.2, 20), (0.3, 10), (0.5, 4), staggered=staggered)
    sizes = ours.sizes(tiles)
    assert sum(sizes) == tiles
    counts = [0] * tiles
    for i in range(20):
        for rank in ours.active(i, tiles):
            counts[rank] += 1
    want = [20] * sizes[0] + [10] * sizes[1] + [4] * sizes[2]
    assert counts == want


def test_staggered_steps_all_run_as_many_tiles():
    ours = budgets(20, (0.2, 20), (0.3, 10), (0.5, 4), staggered=True)
    assert len({len(ours.active(i, 53)) for i in range(20)}) == 1
    plain = budgets(20, (0.2, 20), (0.3, 10), (0.5, 4))
    assert len({len(plain.active(i, 53)) for i in range(20)}) > 1


def test_first_early_and_late_steps_run_everything():
    ours = budgets(10, (0.5, 10), (0.5, 2), early=3, late=2)
    lengths = [len(ranks) for ranks in ours.sets(0, 10, 4, 3)]
    assert lengths == [4, 4, 4, 2, 2, 4, 2, 2, 4, 4]
    # Where another transformer begins its keys are made anew, whatever its step.
    assert [len(ranks) for ranks in ours.sets(6, 10, 4, 0)] == [4, 2, 4, 4]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: budgets(10, (0.5, 10), (0.4, 5)), "add up to 1"),
        (lambda: budgets(10, (0.5, 10), (0.5, 4)), r"divides the 10 steps, got 4.*10"),
        (lambda: budgets(10, (0.5, 10), (0.5, 5), early=1), "need 2 early full"),
        (lambda: budgets(10, (1.0, 5), late=-1, early=1), "no negative number"),
        (lambda: budgets(10, (1.0, 0)), "a budget of 1 step or more"),
        (lambda: budgets(10, (1.5, 10)), "a share above 0, up to 1"),
    ],
)
def test_other_budgets_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_they_are_hashable_and_equal_by_value():
    assert budgets(10, (1.0, 5), early=1) == budgets(10, (1.0, 5), early=1)
    assert len({budgets(10, (1.0, n), early=1) for n in (5, 2, 5)}) == 2
