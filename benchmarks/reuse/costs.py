"""Chooses numbers of full steps that cost as much as reuse, on average over targets.

Region steps cost fractions of a full step, which full steps alone cannot match. If all
costs were rounded in one direction, one of two arms of equal cost would compute more.
So rounding errors are carried over to the next hits of the same kind (error diffusion);
the kinds are hits that differ from their source, and rewordings.
"""

from collections.abc import Callable, Iterable, Sequence

from benchmarks.reuse.bench import Target


def even(
    hits: Sequence[Target], cost: Callable[[Target], float], options: Iterable[int]
) -> dict[int, int]:
    """Chooses the number of full steps of each hit.

    Args:
        hits: the targets.
        cost: returns the work for a target, in full steps.
        options: the numbers of steps to choose from.

    Returns:
        The number of steps by the number of the target.
    """
    steps_of, allowed = dict[int, int](), sorted(options, reverse=True)
    for differing in (True, False):
        kind = [hit for hit in hits if bool(hit.changed) == differing]
        steps = shared_out([cost(hit) for hit in kind], allowed)
        steps_of.update(zip((hit.number for hit in kind), steps, strict=True))
    return steps_of


def shared_out(costs: Iterable[float], options: Sequence[int]) -> list[int]:
    """Chooses an option for each cost, so that both running sums stay close.

    Of two equally near options, the first is taken.
    """
    owed, chosen = 0.0, list[int]()
    for cost in costs:
        owed = round(owed + cost, 6)  # sums of tenths are not exact
        chosen.append(min(options, key=lambda steps: abs(steps - owed)))
        owed -= chosen[-1]
    return chosen
