"""A request's recipe: all that decides its video besides prompt and seed."""

from collections.abc import Mapping

from chorus_jax.families.protocols import VideoModel
from chorus_jax.inter_request.store import Recipe
from chorus_jax.request import Request


def recipe_of(request: Request, model: VideoModel) -> Recipe:
    """The recipe of a request to a model."""
    prints, schedule = model.fingerprints, model.solver(request).schedule
    several = len(model.transformers) > 1
    return Recipe(
        model=prints["vae"],
        transformer=" ".join(prints[name] for name in model.transformers),
        text_encoder=f"{prints['text_encoder']} {model.tokenizer_fingerprint}",
        dtype=model.numerics,
        solver=request.solver,
        sigmas=schedule.sigmas,
        timesteps=schedule.timesteps,
        shift=request.shift,
        guidance_scale=request.guidance_scales[0],
        negative_prompt=request.negative_prompt if request.guided else "",
        frames=request.frames,
        height=request.height,
        width=request.width,
        conditioning=conditioning(request, prints),
        experts=model.experts(request) if several else (),
        guidance_scales=request.guidance_scales if several else (),
    )


def conditioning(request: Request, prints: Mapping[str, str]) -> str:
    """What tells the images of a request, and the encoder that reads them, from
    others; "" without images."""
    if request.inputs is None:
        return ""
    return f"{request.inputs.digest} {prints.get('image_encoder', '')}".rstrip()
