"""Similarity search over the embeddings of earlier requests.

`ExactIndex` compares with every entry; `ScannIndex` (ScaNN, arXiv 1908.10396) with a
few of them and finds the same up to its recall. Both are for any number of threads;
`default_index` chooses.
"""

from chorus_jax.inter_request.index.default import default_index
from chorus_jax.inter_request.index.exact import ExactIndex
from chorus_jax.inter_request.index.protocol import Index
from chorus_jax.inter_request.index.scann_index import Rebuilds, ScannIndex
from chorus_jax.inter_request.index.table import Neighbor

__all__ = ["ExactIndex", "Index", "Neighbor", "Rebuilds", "ScannIndex", "default_index"]
