"""Arms of equal cost in whole steps: on average, not for each target.

A region's half steps have no equal in whole ones. If all were rounded up, or down, one
of two arms that are said to cost the same would compute more. So what one hit gets too
much or too little, later ones of its kind make up (error diffusion): of those whose
source shows something else, and of those whose source does not.
"""

from collections.abc import Callable, Iterable, Sequence

from benchmarks.reuse.bench import Target


def even(
    hits: Sequence[Target], cost: Callable[[Target], float], options: Iterable[int]
) -> dict[int, int]:
    """A number of steps for each hit, from these numbers, by the hit's number."""
    steps_of, allowed = dict[int, int](), sorted(options, reverse=True)
    for differing in (True, False):
        kind = [hit for hit in hits if bool(hit.changed) == differing]
        steps = shared_out([cost(hit) for hit in kind], allowed)
        steps_of.update(zip((hit.number for hit in kind), steps, strict=True))
    return steps_of


def shared_out(costs: Iterable[float], options: Sequence[int]) -> list[int]:
    """For each cost an option, so that their sum so far stays nearest to that of the
    costs.

    Of two options that are as near the first is taken.
    """
    owed, chosen = 0.0, list[int]()
    for cost in costs:
        owed = round(owed + cost, 6)  # tenths add up to halves that are none
        chosen.append(min(options, key=lambda steps: abs(steps - owed)))
        owed -= chosen[-1]
    return chosen
