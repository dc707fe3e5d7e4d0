"""Checks that a run's latents have the size that coefficients were measured at."""

import jax

from chorus_jax.families.forward import Latents

Size = tuple[int, int]  # height and width of the latents


def check_size(what: str, size: Size | None, latents: Latents) -> None:
    """Raises a ValueError for latents of another height and width; the two may be
    swapped.

    Args:
        what: the coefficients in words, for the message.
        size: the size that they were measured at; None allows any.
        latents: the latents of the run, or their shapes. Arrays that are not on a grid,
            such as a region's patches, are not checked.
    """
    if size is None:
        return
    for leaf in jax.tree.leaves(latents):
        if leaf.ndim == 5:
            check_plane(what, size, leaf.shape[2:4])


def check_plane(what: str, size: Size | None, actual: Size) -> None:
    """Raises a ValueError for another height and width than `size`; the two may be
    swapped, and None allows any."""
    if size is not None and sorted(actual) != sorted(size):
        raise ValueError(
            f"{what} were measured on latents of {size[0]} x {size[1]}, the run's "
            f"are {actual[0]} x {actual[1]}: make videos of that size, or "
            "take them all the same with size=none (anywhere=true of published "
            "ones)"
        )
