"""The protocol of indexes."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from chorus_jax.inter_request.index.table import Neighbor


@runtime_checkable
class Index(Protocol):
    """Vectors of one width by id; their length does not matter, only their direction.

    Vectors of another width, that are not finite, or zero are a ValueError.
    """

    def __len__(self) -> int: ...

    def __contains__(self, id: str) -> bool: ...

    def add(self, id: str, vector: Float[np.ndarray, " d"]) -> None:
        """Adds a vector, or replaces that of the same id."""

    def remove(self, id: str) -> bool:
        """Removes a vector; False if there is none of this id."""

    def search(
        self, vector: Float[np.ndarray, " d"], count: int, least: float = -1.0
    ) -> list[Neighbor]:
        """The nearest by cosine, at most so many, best first, equal ones by id.

        Those of a cosine below `least` may be left out, but the nearest never is.
        """

    def close(self) -> None:
        """Ends its threads."""
