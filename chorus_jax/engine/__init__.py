"""The engine: requests to videos, reusing the work of earlier ones.

engine = Engine(pipeline, Cache(store), policies)
result = engine.generate(request)
result.video.frames, result.ledger
"""

from chorus_jax.engine.cache import Cache
from chorus_jax.engine.engine import Engine, Result
from chorus_jax.engine.events import Denoised, Event, Observer, Progress, Video
from chorus_jax.engine.ledger import Kind, Ledger
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.engine.plans import planned
from chorus_jax.engine.policies import (
    Policies,
    default_for,
    policies_for,
    policies_of_file,
    sampler_of,
)
from chorus_jax.engine.reuse import Reuse, StoppedError

__all__ = [
    "Cache",
    "Denoised",
    "Engine",
    "Event",
    "Kind",
    "Ledger",
    "Observer",
    "Pipeline",
    "Policies",
    "Progress",
    "Result",
    "Reuse",
    "StoppedError",
    "Video",
    "default_for",
    "planned",
    "policies_for",
    "policies_of_file",
    "sampler_of",
]
