"""Vectors in one growing array, by id. Not for two threads at once."""

from collections.abc import Iterable
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
        self._data = np.empty((16, width), np.float32)

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
        self._data[row] = unit

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
        return True

    def nearest(self, unit: Float32[np.ndarray, " d"], count: int) -> list[Neighbor]:
        """The nearest of all, best first, equal ones by id."""
        if not self.ids or count < 1:
            return []
        scores = self.vectors @ unit
        worst = np.partition(scores, -min(count, len(scores)))[-min(count, len(scores))]
        rows = np.flatnonzero(scores >= worst - MARGIN)
        return self.scored((self.ids[row] for row in rows), unit)[:count]

    def scored(
        self, ids: Iterable[str], unit: Float32[np.ndarray, " d"]
    ) -> list[Neighbor]:
        """These entries with their exact cosines, best first, equal ones by id."""
        wanted = list(ids)
        vectors = self.vectors[[self.rows[id] for id in wanted]].astype(np.float64)
        products = vectors @ unit.astype(np.float64)
        cosines = np.clip(products / np.linalg.norm(vectors, axis=1), -1, 1)
        neighbors = [Neighbor(id, float(x)) for id, x in zip(wanted, cosines)]
        return sorted(neighbors, key=lambda one: (-one.similarity, one.id))


def unit_vector(
    vector: Float[np.ndarray, "..."], width: int
) -> Float32[np.ndarray, " d"]:
    """The vector with norm 1. ValueError for one that is not what a table holds."""
    array = np.asarray(vector, np.float64)
    if array.shape != (width,):
        raise ValueError(f"expected a vector of {width} numbers, got {array.shape}")
    norm = float(np.linalg.norm(array))
    if not np.isfinite(norm) or norm == 0:
        raise ValueError(f"a vector is finite and not zero, got one of norm {norm}")
    return (array / norm).astype(np.float32)
