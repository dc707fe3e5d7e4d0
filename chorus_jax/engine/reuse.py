"""A request's permissions on the cache, and how it is watched and stopped."""

import hashlib
import threading
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float32

from chorus_jax.engine.events import Event, Observer
from chorus_jax.request import check_text, number

LONGEST = 256  # characters of a namespace, which every entry stores


class StoppedError(Exception):
    """The caller stopped the request. It left nothing in the cache."""


# Not type-checked in tests, because it refuses wrong types itself.
@no_type_check
@dataclass(frozen=True, eq=False)
class Reuse:
    """A request's permissions on the cache.

    Attributes:
        read: whether the request may use stored results of earlier requests.
        write: whether its result is stored for later requests.
        least_score: the least score, 0 to 1, of a source, and of a stored result of
            the same request; the larger of this and the policy's applies.
        namespace: the namespace whose entries it sees, beside shared ones; its own
            entry is stored there.
        other_inputs: whether its source may have been made with other input images at
            the same places and strengths, or from another video. Only entries of
            requests that set this too are candidates. Scores compare prompts, not
            images.
        own_only: whether to leave out entries shared by other namespaces, and entries
            that were made from them.
        shared: whether all namespaces see its entry.
        keep_prompt: whether its prompt is stored in clear text.
        region: values above 0 mark, on the latent grid, where the video may differ
            from its source. Only the tiles that they touch are run (rounded up to one
            of a few numbers of tiles). None: the region is found from the velocities.

    Raises:
        ValueError: for a value of a wrong type or out of range.
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
        """A digest of the region's values (not its shape); "" without a region."""
        if self.region is None:
            return ""
        return hashlib.sha256(self.region.astype("<f4").tobytes()).hexdigest()

    def check_region(self, grid: tuple[int, ...]) -> None:
        """Raises a ValueError for a region that does not fit.

        It must be finite, on this latent grid and above 0 somewhere.
        """
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
                "expected a region with values above 0 where the video may differ from "
                "its source, got none above 0: mark these places, or leave it out"
            )


def check_reuse(reuse: object) -> None:
    """Raises a ValueError unless this is a Reuse."""
    if not isinstance(reuse, Reuse):
        raise ValueError(
            f"expected a Reuse, got {reuse!r:.80}: such as Reuse(write=False)"
        )


def region_array(region: object) -> Float32[np.ndarray, "f h w"]:
    """A read-only copy of a region. Raises a ValueError unless it is an array of
    numbers with three axes."""
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
    """Observes a request, and stops it when its caller asks.

    Attributes:
        event: stops the request once it is set; None if it cannot be stopped.
        observer: called with each event; None for no observer.
        every: denoising steps per call of the loop, between which events are shown and
            `event` is checked; None for all steps in one call.
    """

    event: threading.Event | None = None
    observer: Observer | None = None
    every: int | None = 1

    @property
    def steps(self) -> int | None:
        """Denoising steps per call of the loop.

        None (all steps in one call) if there is neither an event nor an observer.
        """
        return None if self.event is None and self.observer is None else self.every

    def see(self, event: Event) -> None:
        """Shows an event to the observer."""
        if self.observer is not None:
            self.observer(event)

    def check(self) -> None:
        """Raises a StoppedError if the caller has stopped the request."""
        if self.event is not None and self.event.is_set():
            raise StoppedError("the request was stopped by its caller")
