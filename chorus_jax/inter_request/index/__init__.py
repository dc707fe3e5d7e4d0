"""Similarity search over the embeddings of earlier requests.

`ExactIndex` compares a query with every entry. `ScannIndex` (ScaNN, arXiv 1908.10396)
scores few entries exactly and may miss some of the nearest. Both are thread-safe.
`default_index` chooses between them.
"""

from chorus_jax.inter_request.index.default import default_index
from chorus_jax.inter_request.index.exact import ExactIndex
from chorus_jax.inter_request.index.protocol import Index
from chorus_jax.inter_request.index.scann_index import Rebuilds, ScannIndex
from chorus_jax.inter_request.index.table import Neighbor

__all__ = ["ExactIndex", "Index", "Neighbor", "Rebuilds", "ScannIndex", "default_index"]
