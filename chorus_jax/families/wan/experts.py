"""The two transformers of Wan 2.2 A14B: their names, and which one runs each step.

Source: Wan-Video/Wan2.2, wan/text2video.py; diffusers' WanPipeline, from whose folders
the names come. Above the boundary, where the latents are mostly noise, the first one
runs.
"""

from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.request import Request
from chorus_jax.schedulers.flow import TRAIN_STEPS

HIGH, LOW = TRANSFORMER, "transformer_2"


def experts(timesteps: tuple[float, ...], boundary: float | None) -> tuple[str, ...]:
    """The name of the transformer that runs each step.

    Args:
        timesteps: the timestep of each step, 0 to 1000.
        boundary: the high-noise expert runs the timesteps of 1000 times this and above;
            None if there is one transformer.
    """
    if boundary is None:
        return (HIGH,) * len(timesteps)
    least = boundary * TRAIN_STEPS
    return tuple(HIGH if timestep >= least else LOW for timestep in timesteps)


def guidance_of(request: Request, expert: str) -> float:
    """The guidance scale of a request in the steps of an expert, at least 1: smaller
    scales mean no guidance too, but would steer towards the negative prompt."""
    high, low = request.guidance_scales
    return max(low if expert == LOW else high, 1.0)


def check_boundary(boundary: float | None, paired: bool) -> None:
    """Raises a ValueError unless two transformers come with a boundary within 0 and
    1."""
    if paired and boundary is None:
        raise ValueError(
            f"the model has the two transformers {HIGH} and {LOW}, but no "
            "boundary_ratio says which of them runs a step: convert it again from a "
            "folder whose model_index.json has one"
        )
    if boundary is not None and not (paired and 0 < boundary < 1):
        raise ValueError(
            "a boundary_ratio lies between 0 and 1 and goes with the transformers "
            f"{HIGH} and {LOW}; got {boundary} and "
            f"{'two transformers' if paired else 'one transformer'}"
        )
