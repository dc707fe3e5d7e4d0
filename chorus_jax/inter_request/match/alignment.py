"""Aligns the words of two sequences: a longest common subsequence."""

from collections.abc import Hashable, Sequence


def aligned(
    first: Sequence[Hashable], second: Sequence[Hashable]
) -> list[tuple[int, int]]:
    """Pairs of positions of equal items, rising in both, as many as there can be.

    Bit-parallel (Hyyrö, "Bit-Parallel LCS-length Computation Revisited", 2004): a row
    of the usual table is one number, so long prompts of few words take no seconds.
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
    # Bit i of row j is 0 where item i of `first` adds to the longest subsequence that
    # the items up to it have in common with the first j items of `second`.
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
