"""Arms of equal cost in whole steps: on average, not for each target.

Region steps cost fractions of a step, which whole steps cannot match. If all costs were
rounded up, or down, one of two arms of equal cost would compute more. So a rounding
error is carried over to the next hits of the same kind (error diffusion): hits whose
source shows something else, and hits whose source does not.
"""

from collections.abc import Callable, Iterable, Sequence

from benchmarks.reuse.bench import Target


def even(
    hits: Sequence[Target], cost: Callable[[Target], float], options: Iterable[int]
) -> dict[int, int]:
    """Chooses one of the `options` as the steps of each hit, by the hit's number."""
    steps_of, allowed = dict[int, int](), sorted(options, reverse=True)
    for differing in (True, False):
        kind = [hit for hit in hits if bool(hit.changed) == differing]
        steps = shared_out([cost(hit) for hit in kind], allowed)
        steps_of.update(zip((hit.number for hit in kind), steps, strict=True))
    return steps_of


def shared_out(costs: Iterable[float], options: Sequence[int]) -> list[int]:
    """Chooses an option for each cost, so that the running sums stay nearest.

    Of two equally near options, the first is taken.
    """
    owed, chosen = 0.0, list[int]()
    for cost in costs:
        owed = round(owed + cost, 6)  # sums of tenths are not exact
        chosen.append(min(options, key=lambda steps: abs(steps - owed)))
        owed -= chosen[-1]
    return chosen
