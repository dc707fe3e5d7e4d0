"""The shift of a schedule, for coefficients that were measured at one."""

from chorus_jax.schedulers.flow import Schedule

NEAR = 0.15  # solvers space steps a little differently; published shifts are far apart


def implied_shift(schedule: Schedule) -> float:
    """The shift of an evenly spaced schedule, from its middle step.

    A shift s takes an even level u to s u / (1 + (s - 1) u).
    """
    middle = schedule.steps // 2
    level, sigma = 1 - middle / schedule.steps, schedule.sigmas[middle]
    return sigma * (1 - level) / (level * (1 - sigma))


def check_shift(what: str, shift: float | None, schedule: Schedule) -> None:
    """ValueError for a schedule of another shift; None takes any.

    Args:
        what: the coefficients in words.
        shift: that they were measured at.
        schedule: of the run.
    """
    if shift is None or schedule.steps < 2:
        return
    actual = implied_shift(schedule)
    if not abs(actual / shift - 1) <= NEAR:
        raise ValueError(
            f"{what} were measured at shift {shift:g}, the run's steps are spaced as "
            f"with {actual:.3g}: give that shift, or take them all the same with "
            "shift=none (anywhere=true of published ones)"
        )
