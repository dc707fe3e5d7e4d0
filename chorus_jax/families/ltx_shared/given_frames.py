"""The positions of given frames: within a video's latent grid, or as extra tokens.

Given frames at the start of a video replace the video's latents there. A picture at a
later frame becomes extra tokens with the position of that frame. A clip at a later
frame becomes extra tokens too: all of it in LTX-2; in LTX-Video only its first latents,
which the VAE encodes like the start of a video, while the others replace the video's
latents.

Source: Lightricks/LTX-Video, ltx_video/pipelines/pipeline_ltx_video.py
(prepare_conditioning); Lightricks/LTX-2, packages/ltx-core, ltx_core/conditioning;
diffusers' LTXConditionPipeline and LTX2ConditionPipeline.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from chorus_jax.media.inputs import InputMedia
from chorus_jax.media.keyframes import Keyframe
from chorus_jax.nets.tokens import Size
from chorus_jax.request import Request

VIDEO, GIVEN = "video", "given"  # streams of latents


class Place(NamedTuple):
    """A range of a keyframe's latent frames, and where it goes.

    Attributes:
        item: the index of the keyframe.
        first: the first latent frame of the range, in the keyframe.
        last: the latent frame after the range.
        at: the latent frame of the video that the first one replaces; None for extra
            tokens.
    """

    item: int
    first: int
    last: int
    at: int | None


@dataclass(frozen=True)
class FrameLayout:
    """The positions and strengths of a video's given frames; hashable, and the same for
    a whole batch.

    Attributes:
        items: first frame, number of frames and strength of each keyframe.
        group: video frames per latent frame.
        prefix: the number of latents at the start of a later clip that become extra
            tokens, while the others replace the video's; None if all become extra
            tokens.
    """

    items: tuple[tuple[int, int, float], ...]
    group: int
    prefix: int | None = None

    @property
    def places(self) -> tuple[Place, ...]:
        """The place of every range of given latents."""
        return tuple(
            place
            for i, item in enumerate(self.items)
            for place in self._of_item(i, *item)
        )

    def _of_item(
        self, i: int, first: int, frames: int, strength: float
    ) -> Iterator[Place]:
        count = 1 + (frames - 1) // self.group
        if first == 0:
            yield Place(i, 0, count, 0)
            return
        beside = count if self.prefix is None else min(count, self.prefix)
        yield Place(i, 0, beside, None)
        if count > beside:
            yield Place(i, beside, count, first // self.group + beside)

    @property
    def beside(self) -> tuple[Place, ...]:
        """The places of the extra tokens."""
        return tuple(place for place in self.places if place.at is None)

    def extra(self, grid: Size) -> int:
        """The number of extra tokens."""
        return sum(x.last - x.first for x in self.beside) * grid[1] * grid[2]

    @property
    def soft(self) -> tuple[float, ...]:
        """The strengths between 0 and 1."""
        return tuple(strength for strength in self.strengths if 0 < strength < 1)

    @property
    def whole_frames(self) -> tuple[int, ...]:
        """The latent frames of the video that are given with a strength of 1."""
        places = [x for x in self.places if self.items[x.item][2] == 1]
        frames = [
            range(x.at, x.at + x.last - x.first) for x in places if x.at is not None
        ]
        return tuple(sorted({i for frame in frames for i in frame}))

    @property
    def strengths(self) -> tuple[float, ...]:
        """The strength of each kind of token: 0 for generated ones, then those of given
        frames."""
        return tuple(sorted({0.0, *(strength for *_, strength in self.items)}))

    def kinds(self, grid: Size) -> Int[np.ndarray, " n"]:
        """The kind of every token; extra tokens come first."""
        plane, places = grid[1] * grid[2], self.places
        kind = [self.strengths.index(strength) for *_, strength in self.items]
        video = np.zeros(grid[0], np.int32)
        for item, first, last, at in places:
            if at is not None:
                video[at : at + last - first] = kind[item]
        extra = [np.full(x.last - x.first, kind[x.item]) for x in self.beside]
        return np.repeat(np.concatenate([*extra, video]), plane).astype(np.int32)

    def beside_sizes(self, grid: Size) -> Iterator[tuple[Size, int, bool]]:
        """For each group of extra tokens its size, its first frame, and whether it is a
        single picture."""
        for place in self.beside:
            first, frames, _ = self.items[place.item]
            yield (place.last - place.first, *grid[1:]), first, frames == 1


def keyframes(inputs: InputMedia | None, frames: int) -> tuple[Keyframe, ...]:
    """All given frames of a video of `frames` frames as keyframes: the first image, the
    keyframes in their order, the last image. Raises a ValueError for a last image of a
    video of one frame."""
    if inputs is None:
        return ()
    if inputs.last_image is not None and frames == 1:
        raise ValueError(
            "a video of one frame has no last one beside it: leave last_image out, or "
            "ask for more frames"
        )
    ends = ((0, inputs.image), (frames - 1, inputs.last_image))
    first, last = (
        [] if image is None else [Keyframe(image[None], at)] for at, image in ends
    )
    return (*first, *inputs.keyframes, *last)


def must_be_whole(layout: FrameLayout | None, solver: str) -> None:
    """Raises a ValueError for given frames of a strength between 0 and 1, which this
    solver does not run."""
    if layout is not None and layout.soft:
        raise ValueError(
            f"the solver {solver} is not run with given frames of strength "
            f"{layout.soft[0]}: give them the strength 1, or take the solver euler"
        )


def must_be_of_tiles(request: Request, extra: int) -> None:
    """Raises a ValueError for token budgets together with `extra` tokens, which belong
    to no tile."""
    if extra and request.token_budgets is not None:
        raise ValueError(
            "token budgets are not run beside keyframes that are tokens of their own: "
            "give only frames from the first one on, or leave tokens out"
        )


def layout_of(
    inputs: InputMedia | None, frames: int, group: int, prefix: int | None
) -> FrameLayout | None:
    """The layout of the given frames; None without any.

    Args:
        inputs: the request's inputs.
        frames: the number of the video's frames.
        group: video frames per latent frame.
        prefix: see `FrameLayout`.

    Raises:
        ValueError: for frames beyond the video's end, for clips that do not divide into
            latent frames, and for clips that begin within a latent frame of the video.
    """
    items = tuple(x.layout for x in keyframes(inputs, frames))
    if not items:
        return None
    for first, count, _ in items:
        if first + count > frames:
            raise ValueError(
                f"a keyframe from frame {first} on has {count} frames, but the video "
                f"has {frames}: give fewer, or place it earlier"
            )
        if count % group != 1 % group:
            raise ValueError(
                f"a clip has 1 + a multiple of {group} frames, got {count}: cut it to "
                f"{1 + (count - 1) // group * group}"
            )
        if prefix is not None and first and count > 1 and first % group:
            raise ValueError(
                f"a clip begins at frame 0 or a multiple of {group}, got {first}"
            )
    return FrameLayout(items, group, prefix)
