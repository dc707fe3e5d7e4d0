"""A request's recipe: all that decides its video besides prompt and seed."""

from chorus_jax.families.protocols import VideoModel
from chorus_jax.inter_request.store import Recipe
from chorus_jax.request import Request


def recipe_of(request: Request, model: VideoModel) -> Recipe:
    """The recipe of a request to a model."""
    prints, schedule = dict(model.fingerprints), model.solver(request).schedule
    model_print, text = prints.pop("vae"), prints.pop("text_encoder")
    return Recipe(
        model=model_print,
        # One transformer or several: all that is neither of these two.
        transformer=" ".join(prints[name] for name in sorted(prints)),
        text_encoder=f"{text} {model.tokenizer_fingerprint}",
        dtype=model.numerics,
        solver=request.solver,
        sigmas=schedule.sigmas,
        timesteps=schedule.timesteps,
        shift=request.shift,
        guidance_scale=request.guidance_scale,
        negative_prompt=request.negative_prompt if request.guided else "",
        frames=request.frames,
        height=request.height,
        width=request.width,
    )
