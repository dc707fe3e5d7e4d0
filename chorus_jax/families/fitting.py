"""Checks that a video's size suits a model, and that a mesh divides a batch."""

from jax.sharding import AbstractMesh, Mesh

from chorus_jax.devices import sharding
from chorus_jax.nets.context_parallel import split_of
from chorus_jax.nets.t5 import T5Config
from chorus_jax.nets.tokens import Size
from chorus_jax.request import Request


def must_fit(name: str, size: int, step: int, remainder: int) -> None:
    """Raises a ValueError unless `size` is positive and equals `remainder` modulo
    `step`."""
    if size > 0 and size % step == remainder % step:
        return
    smallest = remainder or step
    below = max(smallest, size - (size - remainder) % step)
    nearest = f"{below}" if size < smallest else f"{below} or {below + step}"
    law = (
        f"{remainder} + a multiple of {step}" if remainder else f"a multiple of {step}"
    )
    raise ValueError(f"{name} must be {law}, got {size}; the nearest: {nearest}")


def latent_grid(request: Request, time: int, space: int) -> Size:
    """The number of latents of a video along frames, height and width.

    Args:
        request: gives the size in pixels.
        time: frames per latent; the first latent stands for a single frame.
        space: pixels per latent along height and width.

    Raises:
        ValueError: if a size does not divide; the message names the nearest that do.
    """
    must_fit("frames", request.frames, time, 1)
    must_fit("height", request.height, space, 0)
    must_fit("width", request.width, space, 0)
    frames = 1 + (request.frames - 1) // time
    return frames, request.height // space, request.width // space


def must_have_one_scale(request: Request) -> None:
    """Raises a ValueError if a request to a model with one transformer sets a guidance
    scale per expert."""
    high, low = request.guidance_scale_high, request.guidance_scale_low
    if (high, low) != (None, None):
        raise ValueError(
            "guidance_scale_high and guidance_scale_low are for models with two "
            f"experts, got {high} and {low} for a model with one: give guidance_scale"
        )


def must_match(name: str, size: int | None, other: str, needed: int | None) -> None:
    """Raises a ValueError unless a size of the transformer equals that of another part.

    Args:
        name: the field of the transformer's config.
        size: its value.
        other: the other part's size in words, for the message.
        needed: the value of the other part's size.
    """
    if size != needed:
        raise ValueError(
            f"the parts are of different models: the transformer has {name}={size}, "
            f"but the {other} is {needed}"
        )


def must_have_biases(encoder: T5Config, per_layer: bool, expected: str) -> None:
    """Raises a ValueError for a T5 where umT5 is needed, or the other way round.

    The two have the same width and differ in their position biases. With one layer they
    are the same network.

    Args:
        encoder: config of the text encoder.
        per_layer: whether each layer must have its own biases, as in umT5.
        expected: the encoder that the model was trained with, for the message.
    """
    if encoder.depth > 1 and encoder.relative_bias_every_layer != per_layer:
        kind = "T5 (layers share" if per_layer else "umT5 (each layer has its own"
        raise ValueError(
            f"the text encoder is of another model: it is a {kind} position biases), "
            f"but {expected}; convert the model with that encoder and its tokenizer"
        )


def must_divide(mesh: Mesh | AbstractMesh, rows: int, tokens: int, heads: int) -> None:
    """Raises a ValueError unless the mesh divides the rows, tokens and heads of a pass.

    Args:
        mesh: the devices.
        rows: requests times guidance branches.
        tokens: the number of video tokens.
        heads: the number of the transformer's attention heads.
    """
    ring = sharding.token_split(mesh) > mesh.shape["context"]
    for axis, over, what, size in (
        ("data", mesh.shape["data"], "guidance branches x requests", rows),
        (
            "ring x context" if ring else "context",
            sharding.token_split(mesh),
            "video tokens",
            tokens,
        ),
        ("tensor", mesh.shape["tensor"], "heads", heads),
    ):
        if size % over:
            fitting = [n for n in range(1, mesh.size + 1) if size % n == 0]
            raise ValueError(
                f"the mesh has {axis}={over}, which does not divide {size} {what}; "
                f"{', '.join(map(str, fitting))} would"
            )
    split_of(mesh, heads)
