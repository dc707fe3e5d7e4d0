"""Vectors in one growing array, by id. Not for two threads at once."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

MARGIN = 1e-5  # more than float32 may err in a cosine


class Neighbor(NamedTuple):
    """A vector near to one that was searched with.

    Attributes:
        id: its own.
        similarity: the cosine of both.
    """

    id: str
    similarity: float


class VectorTable:
    """Unit vectors of one width, by id; removing one puts the last in its place."""

    def __init__(self, width: int):
        if width < 1:
            raise ValueError(f"vectors have at least one number, got {width=}")
        self.width = width
        self.ids: list[str] = []
        self.rows: dict[str, int] = {}
        # Small: every recipe and namespace has a table.
        self._data = np.empty((1, width), np.float32)
        self._lengths = np.empty(1)  # 1 but for rounding

    @property
    def vectors(self) -> Float32[np.ndarray, "n d"]:
        """All vectors, in the order of `ids`; a view."""
        return self._data[: len(self.ids)]

    def put(self, id: str, unit: Float32[np.ndarray, " d"]) -> None:
        """Adds a unit vector, or replaces that of the same id."""
        row = self.rows.get(id)
        if row is None:
            row = self.rows[id] = len(self.ids)
            self.ids.append(id)
            if row == len(self._data):
                self._data = np.concatenate([self._data, np.empty_like(self._data)])
                self._lengths = np.resize(self._lengths, 2 * row)
        self._data[row] = unit
        self._lengths[row] = np.linalg.norm(unit.astype(np.float64))

    def remove(self, id: str) -> bool:
        """Removes a vector; False if there is none of this id."""
        row = self.rows.pop(id, None)
        if row is None:
            return False
        last = self.ids.pop()
        if last != id:
            self.ids[row] = last
            self.rows[last] = row
            self._data[row] = self._data[len(self.ids)]
            self._lengths[row] = self._lengths[len(self.ids)]
        return True

    def nearest(
        self, unit: Float32[np.ndarray, " d"], count: int, least: float = -1.0
    ) -> list[Neighbor]:
        """The nearest of all, best first, equal ones by id (see `Index.search`)."""
        return self.scored(self.candidates(unit, count, least), unit)[:count]

    def candidates(
        self, unit: Float32[np.ndarray, " d"], count: int, least: float
    ) -> list[str]:
        """Ids among which are those that `nearest` gives, and few others."""
        if not self.ids or count < 1:
            return []
        scores = self.vectors @ unit
        (rows,) = (scores >= min(least, scores.max()) - MARGIN).nonzero()
        if len(rows) > count:
            near = scores[rows]
            rows = rows[near >= np.partition(near, -count)[-count] - MARGIN]
        return [self.ids[row] for row in rows.tolist()]

    def scored(
        self, ids: Sequence[str], unit: Float32[np.ndarray, " d"]
    ) -> list[Neighbor]:
        """These entries with their exact cosines, best first, equal ones by id."""
        rows = [self.rows[id] for id in ids]
        products = self._data[rows].astype(np.float64) @ unit.astype(np.float64)
        cosines = (products / self._lengths[rows]).tolist()
        ranked = sorted(zip([-min(max(x, -1.0), 1.0) for x in cosines], ids))
        return [Neighbor(id, -negative) for negative, id in ranked]


def unit_vector(
    vector: Float[np.ndarray, "..."], width: int
) -> Float32[np.ndarray, " d"]:
    """The vector with norm 1. ValueError for one that is not what a table holds."""
    array = np.asarray(vector, np.float64)
    if array.shape != (width,):
        raise ValueError(f"expected a vector of {width} numbers, got {array.shape}")
    norm = math.sqrt(array @ array)
    if not math.isfinite(norm) or norm == 0:
        raise ValueError(f"a vector is finite and not zero, got one of norm {norm}")
    return (array / norm).astype(np.float32)
