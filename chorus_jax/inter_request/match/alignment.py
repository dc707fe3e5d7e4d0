"""Aligns the words of two sequences: a longest common subsequence."""

from collections.abc import Hashable, Sequence


def aligned(
    first: Sequence[Hashable], second: Sequence[Hashable]
) -> list[tuple[int, int]]:
    """A longest common subsequence, as pairs of positions that rise in both.

    Bit-parallel (Hyyrö, "Bit-Parallel LCS-length Computation Revisited", 2004): each
    row of the dynamic-programming table is one integer, so that long prompts which
    repeat few words do not take seconds.
    """
    rows = _rows(first, second)
    pairs = []
    i, j = len(first), len(second)
    while i and j:
        if rows[j] >> (i - 1) & 1:
            i -= 1
        elif not rows[j - 1] >> (i - 1) & 1:
            j -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]


def _rows(first: Sequence[Hashable], second: Sequence[Hashable]) -> list[int]:
    # Bit i of row j is 0 if including item i of `first` lengthens the longest common
    # subsequence of first[: i + 1] and second[:j], compared with first[:i].
    where: dict[Hashable, int] = {}
    for i, item in enumerate(first):
        where[item] = where.get(item, 0) | 1 << i
    every = (1 << len(first)) - 1
    rows = [every]
    for item in second:
        row = rows[-1]
        matches = row & where.get(item, 0)
        rows.append(((row + matches) | (row - matches)) & every)
    return rows
