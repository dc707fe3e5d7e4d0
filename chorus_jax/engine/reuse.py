"""What one request lets the cache do, and how it is watched and stopped."""

import hashlib
import threading
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from chorus_jax.engine.events import Event, Observer


class StoppedError(Exception):
    """The caller stopped the request. It left nothing in the cache."""


@dataclass(frozen=True, eq=False)
class Reuse:
    """What a request lets the cache do.

    `read`: begin from an earlier request's latents. `write`: leave its own for later
    ones. `least_score` is asked of a source, and of that of a stored video, beyond what
    the policy asks. `namespace` sees its own entries and those that were left with
    `shared`. `keep_prompt` stores the prompt in clear. `region`, on the latent grid, is
    above 0 where the video may differ from the source's: the tiles that it touches are
    run, and a few more if their number is none of the sizes there are programs for;
    without it the velocities say.
    """

    read: bool = True
    write: bool = True
    least_score: float = 0.0
    namespace: str = "default"
    shared: bool = False
    keep_prompt: bool = False
    region: Float32[np.ndarray, "f h w"] | None = None

    @property
    def region_digest(self) -> str:
        """Tells regions of one shape apart; "" without one."""
        if self.region is None:
            return ""
        return hashlib.sha256(self.region.astype("<f4").tobytes()).hexdigest()

    def check_region(self, grid: tuple[int, ...]) -> None:
        """ValueError unless the region is finite, on this grid of latents, and above 0
        somewhere."""
        region = self.region
        if region is None:
            return
        if region.shape != grid or not np.isfinite(region).all():
            raise ValueError(
                f"a region is finite and on the latent grid of its request, {grid}; "
                f"got one of {region.shape}"
            )
        if not (region > 0).any():
            raise ValueError(
                "a region is above 0 where the video may differ, got one that never "
                "is: leave it out, or ask for the source's request itself"
            )


@dataclass(frozen=True, eq=False)
class Watch:
    """Who watches a request, and whether it is to end.

    Attributes:
        event: ends the request once it is set; None for no way to end it.
        observer: sees its events; None for nobody.
        every: denoising steps after which both are asked; None for all.
    """

    event: threading.Event | None = None
    observer: Observer | None = None
    every: int | None = 1

    @property
    def steps(self) -> int | None:
        """The steps per call of the loop: all in one if nobody is to be asked."""
        return None if self.event is None and self.observer is None else self.every

    def see(self, event: Event) -> None:
        """Shows an event to the observer."""
        if self.observer is not None:
            self.observer(event)

    def check(self) -> None:
        """StoppedError if the caller has stopped the request."""
        if self.event is not None and self.event.is_set():
            raise StoppedError("the request was stopped by its caller")
