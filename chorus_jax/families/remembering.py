"""A small cache of encoded images and videos of earlier requests, by digest."""

from collections.abc import Callable, Hashable

import jax
import numpy as np
from jaxtyping import Array


class EncodedInputs:
    """An LRU cache, in host memory, of the encodings of given images and videos.

    Tenants do not share entries: the response time would reveal that another tenant had
    sent the same input (see `PromptEncoder`).

    Args:
        most: the number of encodings to keep, over all tenants.
    """

    def __init__(self, most: int = 4):
        self.most = most
        self.known: dict[tuple[str, Hashable], np.ndarray] = {}

    def __call__(
        self, tenant: str, key: Hashable, encode: Callable[[], Array]
    ) -> np.ndarray | Array:
        """Returns the encoding of a tenant's input, from the cache if it is there.

        While a program is traced, encodings have no values yet: they are returned
        without being kept.

        Args:
            tenant: the owner of the input.
            key: everything the encoding depends on: digests of pixels and of weights,
                sizes.
            encode: computes the encoding if it is not in the cache.
        """
        full = (tenant, key)
        row = self.known.pop(full, None)
        if row is None:
            made = encode()
            if isinstance(made, jax.core.Tracer):
                return made
            row = np.asarray(made)
        self.known[full] = row
        while len(self.known) > self.most:
            del self.known[next(iter(self.known))]
        return row

    def forget(self, tenant: str | None = None) -> None:
        """Drops the encodings of a tenant (None: of all tenants)."""
        for full in [full for full in self.known if tenant in (None, full[0])]:
            del self.known[full]
