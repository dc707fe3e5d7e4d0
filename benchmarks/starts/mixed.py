"""Starts from mixtures of the target's and the source's noise, for comparison.

The source's noise can be drawn again from the seeds in its record. Mixing by place
needs the target's full run, to know where the videos differ. No server could do this,
so it is an upper bound on what such a mixture can achieve.
"""

from copy import copy
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from benchmarks.reuse.bench import Bench, Target
from benchmarks.reuse.running import ArmRun, Reusing
from chorus_jax.engine import Pipeline
from chorus_jax.families.forward import Geometry, Latents
from chorus_jax.inter_request.policy.policy import Policy

HALF = 0.5


class NoiseMixture:
    """Draws noise that is a mixture with the noise of another seed.

    Attributes:
        pipeline: the pipeline that runs the requests.
        seed: the other seed.
        share: the other noise's share of the variance, a number or one per position
            of the latents, [1 f h w 1].
    """

    def __init__(self, pipeline: Pipeline):
        self.pipeline = pipeline
        self.seed: int = 0
        self.share: float | Float[np.ndarray, "1 f h w 1"] = 0.0

    def __call__(
        self,
        seeds: Array,
        geometry: Geometry,
    ) -> Latents:
        """The noise of `seeds`, mixed with the noise of the attribute `seed`."""
        others = jnp.full_like(seeds, self.seed)
        own, other = (self.pipeline.drawn(x, geometry) for x in (seeds, others))
        return jax.tree.map(lambda x, y: mixed(x, y, self.share), own, other)


def mixed(own: Array, other: Array, share: Any) -> Array:
    """Mixes two arrays of normal noise, and keeps the variance.

    `share` is the share of the variance that comes from `other`, 0 to 1.
    """
    share = jnp.asarray(share, own.dtype)
    return jnp.sqrt(1 - share) * own + jnp.sqrt(share) * other


class Mixing(Reusing):
    """An arm whose starts take a share of their noise's variance from the source."""

    def __init__(self, bench: Bench, policy: Policy, share: float = HALF):
        self.mixture, self.everywhere = NoiseMixture(bench.pipeline), share
        pipeline: Any = copy(bench.pipeline)
        pipeline.drawn = self.mixture
        super().__init__(replace(bench, pipeline=pipeline), policy)

    def __call__(self, target: Target) -> ArmRun:
        """Makes the target's video.

        Raises a RuntimeError if the source is not in the cache, or as in `run`.
        """
        entry = self.bench.cache.store.get(str(target.source), "default")
        if entry is None:
            raise RuntimeError(f"the source of target {target.number} is gone")
        self.mixture.seed = entry.noises[-1]
        self.mixture.share = self.share(target, entry.latents)
        return super().__call__(target)

    def share(self, target: Target, latents: np.ndarray) -> Any:
        """The source's share of the noise's variance."""
        return self.everywhere


class MixingByPlace(Mixing):
    """An arm whose starts mix both noises by place.

    The half of all positions in which the target's full run differs most from the
    source has the target's noise, the remaining half has the source's.
    """

    def __init__(self, bench: Bench, policy: Policy):
        super().__init__(bench, policy)
        self.plain = bench.pipeline
        self.shares: dict[tuple[int, int | None], np.ndarray] = {}

    def share(self, target: Target, latents: np.ndarray) -> Any:
        """1 at the positions that differ less than the median, 0 elsewhere."""
        key = target.number, target.request.seed
        if key not in self.shares:
            [video] = self.plain(target.request)
            own = np.asarray(video.latents, np.float32)
            apart = ((own - latents) ** 2).mean(axis=-1, keepdims=True)
            self.shares[key] = (apart < np.median(apart)).astype(np.float32)[None]
        return self.shares[key]
