"""A request's recipe: all that decides its video besides prompt and seed."""

from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.wan.parts import TRANSFORMER
from chorus_jax.inter_request.store import Recipe
from chorus_jax.request import Request


def recipe_of(request: Request, pipeline: Pipeline) -> Recipe:
    """The recipe of a request to a pipeline."""
    prints, solver = pipeline.fingerprints, request.make_solver()
    tokenizer, sizes = pipeline.prompts.tokenizer.fingerprint, pipeline.sizes
    parts = (sizes.transformer, sizes.text_encoder, sizes.vae)
    return Recipe(
        model=prints["vae"],
        transformer=prints[TRANSFORMER],
        text_encoder=f"{prints['text_encoder']} {tokenizer}",
        dtype=" ".join(part.dtype for part in parts),
        solver=request.solver,
        sigmas=solver.schedule.sigmas,
        timesteps=solver.schedule.timesteps,
        shift=request.shift,
        guidance_scale=request.guidance_scale,
        negative_prompt=request.negative_prompt if request.guided else "",
        frames=request.frames,
        height=request.height,
        width=request.width,
    )
