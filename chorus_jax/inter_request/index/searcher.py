"""ScaNN search over a fixed array: the only module that uses the library.

ScaNN's searcher crashes when it is changed during a search, and a failed change leaves
wrong ids behind. So a searcher is built once and never changed, and it returns row
numbers instead of ids.
"""

from typing import Any

import numpy as np
from jaxtyping import Float32

# Product quantisation with two dimensions per block, then exact scores for the best
# REORDER rows, as the library advises (docs/algorithms.md), but without its tree, which
# loses near matches. Wide vectors have more dimensions per block, about BLOCKS blocks
# in all: searching 50 000 vectors of width 1536 then takes a sixth of the time. It
# still finds the same neighbors of cosine 0.5 or more (`recall_near` of
# benchmarks/index); it finds fewer of those below 0.5, which are no sources.
DIMENSIONS_A_BLOCK, BLOCKS, THRESHOLD, REORDER = 2, 48, 0.2, 100


def dimensions_a_block(width: int) -> int:
    """Dimensions per block for vectors of this width, a power of two."""
    most = max(DIMENSIONS_A_BLOCK, width // BLOCKS)
    return 2 ** (most.bit_length() - 1)


class Searcher:
    """Finds the nearest rows of a fixed array by dot product.

    Raises:
        ImportError: if ScaNN is not installed.
    """

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
        """The nearest rows, approximately, and their products with the vector.

        At most `count` and at most `REORDER` rows, by falling product.
        """
        ids, products = self._scann.search(unit, min(count, REORDER))
        return ids.tolist(), products.tolist()
