"""The index that compares with every entry: as fast as any up to tens of thousands."""

import threading

import numpy as np
from jaxtyping import Float

from chorus_jax.inter_request.index.table import Neighbor, VectorTable, unit_vector


class ExactIndex:
    """All vectors of one width; a search is one product with all of them."""

    def __init__(self, width: int):
        self._table, self._lock = VectorTable(width), threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return len(self._table.ids)

    def __contains__(self, id: str) -> bool:
        with self._lock:
            return id in self._table.rows

    def add(self, id: str, vector: Float[np.ndarray, " d"]) -> None:
        """Adds a vector, or replaces that of the same id."""
        unit = unit_vector(vector, self._table.width)
        with self._lock:
            self._table.put(id, unit)

    def remove(self, id: str) -> bool:
        """Removes a vector; False if there is none of this id."""
        with self._lock:
            return self._table.remove(id)

    def search(
        self, vector: Float[np.ndarray, " d"], count: int, least: float = -1.0
    ) -> list[Neighbor]:
        """The nearest by cosine, at most so many, best first, equal ones by id.

        Those of a cosine below `least` may be left out, but the nearest never is.
        """
        unit = unit_vector(vector, self._table.width)
        with self._lock:
            return self._table.nearest(unit, count, least)

    def close(self) -> None:
        """Nothing to end."""
