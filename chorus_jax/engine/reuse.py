"""A request's permissions on the cache, and how it is watched and stopped."""

import hashlib
import threading
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float32

from chorus_jax.engine.events import Event, Observer
from chorus_jax.request import check_text, number

LONGEST = 256  # characters of a namespace, which every entry has


class StoppedError(Exception):
    """The caller stopped the request. It left nothing in the cache."""


# Not type-checked in tests, because it refuses wrong types itself.
@no_type_check
@dataclass(frozen=True, eq=False)
class Reuse:
    """A request's permissions on the cache.

    Attributes:
        read: whether it may begin from an earlier request's latents.
        write: whether it leaves its own for later requests.
        least_score: the least score of a source, 0 to 1, beyond what the policy asks;
            also that of the source of a stored video of the same request.
        namespace: whose entries it sees beside the shared ones; its own go there.
        other_inputs: whether its source may have been made of other images, or from
            another video, of the same sizes: a look-up among requests that ask so too.
            Scores say how near the prompts are, not the images.
        own_only: whether entries that other namespaces share are left out.
        shared: whether all namespaces see what it leaves.
        keep_prompt: whether the prompt is stored in clear.
        region: on the latent grid, above 0 where the video may differ from the
            source's. The tiles that it touches are run, and a few more if there is no
            program for their number. None: the velocities decide.

    Raises:
        ValueError: for a value of another type.
    """

    read: bool = True
    write: bool = True
    least_score: float = 0.0
    namespace: str = "default"
    other_inputs: bool = False
    own_only: bool = False
    shared: bool = False
    keep_prompt: bool = False
    region: Float32[np.ndarray, "f h w"] | None = None

    def __post_init__(self) -> None:
        flags = ("read", "write", "other_inputs", "own_only", "shared", "keep_prompt")
        for name in flags:
            if not isinstance(getattr(self, name), bool | np.bool_):
                raise ValueError(
                    f"{name} must be True or False, got {getattr(self, name)!r}"
                )
        if not isinstance(self.namespace, str) or len(self.namespace) > LONGEST:
            raise ValueError(
                f"namespace must be text of at most {LONGEST} characters, got "
                f"{self.namespace!r:.80}"
            )
        check_text("namespace", self.namespace)
        least = number("least_score", self.least_score)
        if not 0 <= least <= 1:
            raise ValueError(f"least_score must be from 0 to 1, got {least}")
        object.__setattr__(self, "least_score", least)
        if self.region is not None:
            object.__setattr__(self, "region", region_array(self.region))

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


def check_reuse(reuse: object) -> None:
    """ValueError unless this is a Reuse."""
    if not isinstance(reuse, Reuse):
        raise ValueError(
            f"expected a Reuse, got {reuse!r:.80}: such as Reuse(write=False)"
        )


def region_array(region: object) -> Float32[np.ndarray, "f h w"]:
    """A region as an array of its own, which nobody can write to. ValueError unless it
    is numbers along three axes."""
    try:
        array = np.array(region, np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"region must be an array of numbers: {error}") from error
    if array.ndim != 3:
        raise ValueError(
            f"region must have the axes frames, height and width, got {array.shape}"
        )
    array.flags.writeable = False
    return array


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
