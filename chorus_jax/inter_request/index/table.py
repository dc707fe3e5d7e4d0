"""A growing array of vectors with an id per row. Not thread-safe."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32

MARGIN = 1e-5  # more than the float32 rounding error of a cosine


class Neighbor(NamedTuple):
    """A search result: a stored vector and its similarity to the query.

    Attributes:
        id: the id of the stored vector.
        similarity: its cosine with the query.
    """

    id: str
    similarity: float


class VectorTable:
    """Unit vectors of one width, by id.

    The rows stay contiguous: removing a vector moves the last row into its place.
    """

    def __init__(self, width: int):
        if width < 1:
            raise ValueError(f"vectors have at least one number, got {width=}")
        self.width = width
        self.ids: list[str] = []
        self.rows: dict[str, int] = {}
        # Starts small, because there is a table per recipe and namespace.
        self._data = np.empty((1, width), np.float32)
        self._lengths = np.empty(1)  # norms of the rows, 1 up to rounding

    @property
    def vectors(self) -> Float32[np.ndarray, "n d"]:
        """A view of all vectors, in the order of `ids`."""
        return self._data[: len(self.ids)]

    def put(self, id: str, unit: Float32[np.ndarray, " d"]) -> None:
        """Adds a unit vector, or replaces the vector of the same id."""
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
        """Removes a vector; False if the table has none of this id."""
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
        """The nearest vectors by exact search (see `Index.search`)."""
        return self.scored(self.candidates(unit, count, least), unit)[:count]

    def candidates(
        self, unit: Float32[np.ndarray, " d"], count: int, least: float
    ) -> list[str]:
        """A superset of the ids that `nearest` returns, only slightly larger."""
        if not self.ids or count < 1:
            return []
        scores = self.vectors @ unit
        (rows,) = (scores >= min(least, scores.max()) - MARGIN).nonzero()
        if len(rows) > count:
            near_scores = scores[rows]
            rows = rows[
                near_scores >= np.partition(near_scores, -count)[-count] - MARGIN
            ]
        return [self.ids[row] for row in rows.tolist()]

    def scored(
        self, ids: Sequence[str], unit: Float32[np.ndarray, " d"]
    ) -> list[Neighbor]:
        """These ids with their exact cosines, best first, ties in order of ids."""
        rows = [self.rows[id] for id in ids]
        # A matrix product would round a row differently beside other rows.
        products = (self._data[rows] * unit.astype(np.float64)).sum(axis=1)
        cosines = (products / self._lengths[rows]).tolist()
        ranked = sorted(zip([-min(max(x, -1.0), 1.0) for x in cosines], ids))
        return [Neighbor(id, -negative) for negative, id in ranked]


def unit_vector(
    vector: Float[np.ndarray, "..."], width: int
) -> Float32[np.ndarray, " d"]:
    """The vector scaled to norm 1.

    Raises:
        ValueError: if it has another width, is not finite or is zero.
    """
    array = np.asarray(vector, np.float64)
    if array.shape != (width,):
        raise ValueError(f"expected a vector of {width} numbers, got {array.shape}")
    norm = math.sqrt(array @ array)
    if not math.isfinite(norm) or norm == 0:
        raise ValueError(f"a vector is finite and not zero, got one of norm {norm}")
    return (array / norm).astype(np.float32)
