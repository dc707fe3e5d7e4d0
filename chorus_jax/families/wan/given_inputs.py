"""Checks of the images and videos that the variants of Wan read."""

from typing import Protocol, runtime_checkable

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.media.inputs import InputMedia
from chorus_jax.request import Request


@runtime_checkable
class ReadingSizes(Protocol):
    """The sizes of a model that determine which inputs it reads.

    Attributes:
        transformer: config of the transformer.
        conditioned: whether it reads a mask and latents of images.
        expand_timesteps: whether a given first frame has a timestep of its own.
    """

    @property
    def transformer(self) -> WanConfig: ...

    @property
    def conditioned(self) -> bool: ...

    @property
    def expand_timesteps(self) -> bool: ...


def check_inputs(sizes: ReadingSizes, request: Request) -> None:
    """Raises a ValueError unless the request has exactly the inputs that the model
    reads."""
    inputs = request.inputs
    if inputs is None:
        if sizes.conditioned:
            raise ValueError(
                "the model makes videos of an image: give one (inputs, --image)"
            )
        return
    if inputs.keyframes:
        raise ValueError(
            "Wan reads the first image, and some models the last one: give image, "
            "and leave keyframes out"
        )
    if inputs.video is not None:
        check_video(sizes, inputs, request)
        return
    if inputs.image is None:
        raise ValueError("Wan reads a last image beside the first one: give both")
    if not (sizes.conditioned or sizes.expand_timesteps):
        raise ValueError(
            "the model makes videos of words alone: leave the image out, or take the "
            "weights of an image-to-video model"
        )
    check_last(sizes, inputs, request)


def check_last(sizes: ReadingSizes, inputs: InputMedia, request: Request) -> None:
    """Raises a ValueError for a last image that the model does not read, or for a
    missing one that it needs."""
    if inputs.last_image is None:
        if sizes.transformer.image_positions is not None:
            raise ValueError(
                "the model makes videos between two images: give the last one too "
                "(last_image, --last-image)"
            )
        return
    if not sizes.conditioned:
        raise ValueError("this model reads the first image alone: leave the last out")
    single = sizes.transformer.image_positions is None
    if sizes.transformer.image_width is not None and single:
        raise ValueError(
            "this transformer reads the tokens of one image: leave the last one out"
        )
    if request.frames == 1:
        raise ValueError("one frame has no last image beside the first: leave it out")


def check_video(sizes: ReadingSizes, inputs: InputMedia, request: Request) -> None:
    """Raises a ValueError for a video that the model cannot begin from."""
    assert inputs.video is not None
    if sizes.conditioned:
        raise ValueError(
            "the model makes videos of an image, not of a video: take the weights of a "
            "text-to-video model for --video"
        )
    if inputs.image is not None or inputs.last_image is not None:
        raise ValueError("give an image or a video to begin from, not both")
    inputs.video.check_length(request.frames)
