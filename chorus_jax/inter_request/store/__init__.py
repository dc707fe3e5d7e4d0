"""The store: keeps latents of earlier requests for later ones, in memory and on disk.

`Store.admit` takes an `Entry`, and `Store.get` returns it. A record on disk is one
packed file with checksums. Prompts are kept as digests and an embedding, not in clear;
unless the store has a secret of its own, anyone who can read the folder can test
guessed prompts against the digests. The store is independent of any model.
"""

from chorus_jax.inter_request.store.entry import Entry, EntryHeader, new_id
from chorus_jax.inter_request.store.eviction import Eviction, FairShare, StoredItem
from chorus_jax.inter_request.store.recipe import Recipe
from chorus_jax.inter_request.store.secret import Secret
from chorus_jax.inter_request.store.store import Store
from chorus_jax.inter_request.store.tiers import Watcher

__all__ = ["Entry", "EntryHeader", "Eviction", "FairShare", "Recipe", "Secret", "Store"]
__all__ += ["StoredItem", "Watcher", "new_id"]
