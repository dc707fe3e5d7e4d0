"""Exact similarity search: as fast as ScaNN up to thousands of entries."""

import threading

import numpy as np
from jaxtyping import Float

from chorus_jax.inter_request.index.table import Neighbor, VectorTable, unit_vector


class ExactIndex:
    """Exact index: a search is one matrix product with all vectors."""

    def __init__(self, width: int):
        self._table, self._lock = VectorTable(width), threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._table.ids)

    def __contains__(self, id: str) -> bool:
        with self._lock:
            return id in self._table.rows

    def add(self, id: str, vector: Float[np.ndarray, " d"]) -> None:
        """Adds a vector, or replaces the vector of the same id."""
        unit = unit_vector(vector, self._table.width)
        with self._lock:
            self._table.put(id, unit)

    def remove(self, id: str) -> bool:
        """Removes a vector; False if the index has none of this id."""
        with self._lock:
            return self._table.remove(id)

    def search(
        self, vector: Float[np.ndarray, " d"], count: int, least: float = -1.0
    ) -> list[Neighbor]:
        """The nearest vectors by cosine (see `Index.search`)."""
        unit = unit_vector(vector, self._table.width)
        with self._lock:
            return self._table.nearest(unit, count, least)

    def close(self) -> None:
        """Does nothing: this index has no threads."""
