"""What must fit: sizes of videos to a model, and a batch to a mesh."""

from jax.sharding import Mesh


def must_fit(name: str, size: int, step: int, rest: int) -> None:
    """`size` must be `rest` plus a multiple of `step`, and not zero."""
    if size > 0 and size % step == rest % step:
        return
    smallest = rest or step
    below = max(smallest, size - (size - rest) % step)
    near = f"{below}" if size < smallest else f"{below} or {below + step}"
    law = f"{rest} + a multiple of {step}" if rest else f"a multiple of {step}"
    raise ValueError(f"{name} must be {law}, got {size}; the nearest: {near}")


def must_divide(mesh: Mesh, rows: int, tokens: int, heads: int) -> None:
    """ValueError unless the mesh divides a pass.

    Args:
        mesh: the devices.
        rows: requests times guidance branches.
        tokens: of the video.
        heads: of the transformer.
    """
    for axis, what, size in (
        ("data", "guidance branches x requests", rows),
        ("context", "video tokens", tokens),
        ("tensor", "heads", heads),
    ):
        over = mesh.shape[axis]
        if size % over:
            fitting = [n for n in range(1, mesh.size + 1) if size % n == 0]
            raise ValueError(
                f"the mesh has {axis}={over}, which does not divide {size} {what}; "
                f"{', '.join(map(str, fitting))} would"
            )
