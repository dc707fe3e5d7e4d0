"""The store: what earlier requests leave for later ones, in memory and on disk.

`Store.admit` takes an `Entry`, `get` gives it back. A record on disk is one packed file
with checksums; prompts are kept as digests and an embedding, not in clear. Whoever can
read the folder can try prompts out, unless the store's secret is kept elsewhere.
Nothing here knows a model.
"""

from chorus_jax.inter_request.store.entry import Entry, Head, Statistics, new_id
from chorus_jax.inter_request.store.eviction import LCBFU, LRU, ByValue, Eviction
from chorus_jax.inter_request.store.recipe import Recipe
from chorus_jax.inter_request.store.secret import Secret
from chorus_jax.inter_request.store.store import Store
from chorus_jax.inter_request.store.tiers import Watcher

__all__ = ["LCBFU", "LRU", "ByValue", "Entry", "Eviction", "Head", "Recipe", "Secret"]
__all__ += ["Statistics", "Store", "Watcher", "new_id"]
