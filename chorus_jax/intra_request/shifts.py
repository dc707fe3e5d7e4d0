"""Checks that a run's schedule has the shift that coefficients were measured at."""

from chorus_jax.schedulers.flow import Schedule

# Allowed relative difference of shifts: solvers space their steps a little differently,
# and published shifts are further apart.
NEAR = 0.15


def implied_shift(schedule: Schedule) -> float:
    """The shift that a schedule has, judged by the noise level of its middle step.

    A shift s maps an evenly spaced noise level u to s u / (1 + (s - 1) u).
    """
    middle = schedule.steps // 2
    level, sigma = 1 - middle / schedule.steps, schedule.sigmas[middle]
    return sigma * (1 - level) / (level * (1 - sigma))


def shift_of(schedule: Schedule, named: float) -> float:
    """The shift of a schedule, for what is measured on it.

    Args:
        schedule: the schedule.
        named: the shift that the request names. Its schedule may have another one: it
            may be a list of sigmas, or shifted further by the number of tokens.

    Returns:
        `named`, or the implied shift where they differ by more than is allowed.
    """
    if schedule.steps < 2:
        return named
    actual = implied_shift(schedule)
    return named if abs(actual / named - 1) <= NEAR else float(f"{actual:.4g}")


def check_shift(what: str, shift: float | None, schedule: Schedule) -> None:
    """Raises a ValueError for a schedule with another shift.

    Args:
        what: the coefficients in words, for the message.
        shift: the shift that they were measured at; None allows any.
        schedule: the schedule of the run.
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
