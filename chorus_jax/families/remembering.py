"""Encoded images and videos of earlier requests, by digest."""

from collections.abc import Callable, Hashable

import numpy as np


class EncodedInputs:
    """The last encodings of given images and videos, in host memory.

    A tenant never finds what another one encoded: how long an answer takes would tell
    who showed what (see `PromptEncoder`).

    Args:
        most: the number that is kept.
    """

    def __init__(self, most: int = 4):
        self.most = most
        self.known: dict[tuple[str, Hashable], np.ndarray] = {}

    def __call__(
        self, tenant: str, key: Hashable, encode: Callable[[], np.ndarray]
    ) -> np.ndarray:
        """The encoding of a tenant's input.

        Args:
            tenant: whose it is.
            key: all that decides it: digests of pixels and of weights, sizes.
            encode: makes it if it is not known.
        """
        full = (tenant, key)
        row = self.known.pop(full, None)
        if row is None:
            row = encode()
        self.known[full] = row
        while len(self.known) > self.most:
            del self.known[next(iter(self.known))]
        return row

    def forget(self, tenant: str | None = None) -> None:
        """Forgets a tenant's (None: of all)."""
        for full in [full for full in self.known if tenant in (None, full[0])]:
            del self.known[full]
