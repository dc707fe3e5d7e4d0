"""ScaNN over vectors that never change: the one place that knows its library.

Its searcher crashes when it is changed while others search, and a failed change leaves
wrong ids behind. So a searcher is built whole and never changed; ids stay outside.
"""

from typing import Any

import numpy as np
from jaxtyping import Float32

# Product quantisation of two dimensions a block, then the best few exactly; the
# library's advice (docs/algorithms.md) without a tree, which loses near matches. Wide
# vectors have more dimensions a block, about BLOCKS blocks in all: a search of 50 000
# of width 1536 takes a sixth of the time, and finds the same ones of cosines from 0.5
# on (`recall_near` of benchmarks/index); of farther ones, which are no sources, fewer.
DIMENSIONS_A_BLOCK, BLOCKS, THRESHOLD, REORDER = 2, 48, 0.2, 100


def dimensions_a_block(width: int) -> int:
    """The dimensions of a block of vectors of a width, a power of two."""
    most = max(DIMENSIONS_A_BLOCK, width // BLOCKS)
    return 2 ** (most.bit_length() - 1)


class Searcher:
    """The nearest rows of an array by dot product. ImportError without ScaNN."""

    def __init__(self, vectors: Float32[np.ndarray, "n d"]):
        try:
            import scann
        except ImportError as error:
            raise ImportError(
                "ScannIndex needs the package scann (Linux on x86-64): install it, or "
                "use ExactIndex"
            ) from error
        builder = scann.scann_ops_pybind.builder(
            np.ascontiguousarray(vectors), REORDER, "dot_product"
        )
        builder = builder.score_ah(
            dimensions_a_block(vectors.shape[1]),
            anisotropic_quantization_threshold=THRESHOLD,
        )
        self._scann: Any = builder.reorder(REORDER).build()

    def rows(
        self, unit: Float32[np.ndarray, " d"], count: int
    ) -> tuple[list[int], list[float]]:
        """About the nearest rows, at most so many and at most `REORDER`, and their
        products with the vector, which fall."""
        ids, products = self._scann.search(unit, min(count, REORDER))
        return ids.tolist(), products.tolist()
