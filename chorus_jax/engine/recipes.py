"""A request's recipe: everything that decides its video besides prompt and seed."""

import json
from dataclasses import asdict, replace
from typing import Any

from chorus_jax.engine.numerics import run_by
from chorus_jax.families.protocols import VideoModel
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.inter_request.store import Recipe
from chorus_jax.intra_request import EveryStep, StepCache
from chorus_jax.intra_request.registry import describe
from chorus_jax.request import Request


def recipe_of(request: Request, model: VideoModel, policy: Policy) -> Recipe:
    """The recipe of a request, run by this model under this policy."""
    prints, schedule = dict(model.fingerprints), model.solver(request).schedule
    vae, text = prints.pop("vae"), prints.pop("text_encoder")
    images = prints.pop("image_encoder", "")
    several = len(model.transformers) > 1
    return Recipe(
        vae=vae,
        # The remaining fingerprints are those of the transformers, one or several.
        transformer=" ".join(prints[name] for name in sorted(prints)),
        text_encoder=f"{text} {model.tokenizer_fingerprint}",
        dtype=model.numerics,
        run_by=run_by(model.mesh),
        step_caches=step_cache_of(policy),
        solver=request.solver,
        sigmas=schedule.sigmas,
        timesteps=schedule.timesteps,
        shift=request.shift,
        guidance_scale=request.guidance_scales[0],
        negative_prompt=request.negative_prompt if request.guided else "",
        frames=request.frames,
        height=request.height,
        width=request.width,
        inputs=inputs_of(request, images),
        experts=model.experts(request) if several else (),
        guidance_scales=request.guidance_scales if several else (),
        fps=model.fps(request),
        perturbed=perturbed_of(request),
        joint=() if request.joint is None else request.joint.numbers,
        tokens=tokens_of(request),
    )


def of_sources(recipe: Recipe, request: Request) -> Recipe:
    """The recipe for look-ups that ignore the pixels of a request's inputs.

    The digest of the inputs is replaced by their layout, which decides the shapes of
    latents.
    """
    if request.inputs is None:
        return recipe
    _, *encoder = recipe.inputs.split()
    return replace(recipe, inputs=" ".join([f"any {request.inputs.layout}", *encoder]))


def step_cache_of(policy: Policy) -> str:
    """A description of the step cache that a policy uses for misses.

    The rest of the policy, which decides hits, is not part of a recipe (see
    `Policy.digest`).
    """
    return described(policy.miss_cache)


def described(cache: StepCache) -> str:
    """A description of a step cache; "" if every step is computed."""
    if cache == EveryStep():
        return ""
    return json.dumps(describe(cache), sort_keys=True)


def tokens_of(request: Request) -> str:
    """A description of a request's token budgets; "" if every step runs all tokens."""
    budgets: Any = request.token_budgets
    return "" if budgets is None else json.dumps(asdict(budgets), sort_keys=True)


def perturbed_of(request: Request) -> tuple[float, ...]:
    """The numbers of a request's guidance schedule, or of its spatio-temporal guidance.

    () if it has neither. The numbers of a schedule begin with -1, which no scale of
    spatio-temporal guidance can be.
    """
    if request.guidance_schedule is not None:
        return (-1.0, *request.guidance_schedule.flat)
    guidance = request.perturbed
    return (
        ()
        if guidance is None
        else (guidance.scale, guidance.rescale, *map(float, guidance.layers))
    )


def inputs_of(request: Request, encoder: str) -> str:
    """The digest of a request's input images or video, and the fingerprint of the image
    encoder; "" without inputs."""
    if request.inputs is None:
        return ""
    return f"{request.inputs.digest} {encoder}".rstrip()
