"""The engine: requests to videos, reusing the work of earlier ones.

engine = Engine(pipeline, Cache(store), policies)
result = engine.generate(request)
result.video.frames, result.ledger
"""

from chorus_jax.engine.cache import Cache
from chorus_jax.engine.engine import Engine, Result
from chorus_jax.engine.ledger import Kind, Ledger
from chorus_jax.engine.policies import Policies, policies_for
from chorus_jax.engine.reuse import Reuse, StoppedError

__all__ = [
    "Cache",
    "Engine",
    "Kind",
    "Ledger",
    "Policies",
    "Result",
    "Reuse",
    "StoppedError",
    "policies_for",
]
