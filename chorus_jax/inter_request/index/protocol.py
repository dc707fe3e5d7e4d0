"""The protocol that every similarity index implements."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from chorus_jax.inter_request.index.table import Neighbor


@runtime_checkable
class Index(Protocol):
    """Vectors of one width by id, compared by cosine.

    Methods that take a vector raise ValueError if it has another width, is not finite
    or is zero.
    """

    def __len__(self) -> int: ...

    def __contains__(self, id: str) -> bool: ...

    def add(self, id: str, vector: Float[np.ndarray, " d"]) -> None:
        """Adds a vector, or replaces the vector of the same id."""

    def remove(self, id: str) -> bool:
        """Removes a vector; False if the index has none of this id."""

    def search(
        self, vector: Float[np.ndarray, " d"], count: int, least: float = -1.0
    ) -> list[Neighbor]:
        """The nearest vectors by cosine, best first, ties in order of their ids.

        Args:
            vector: the query.
            count: the most neighbors to return.
            least: the index may leave out neighbors whose cosine is below this, but
                never the nearest one.
        """

    def close(self) -> None:
        """Ends the threads of the index."""
