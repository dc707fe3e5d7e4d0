"""Recipes: everything that determines a video, except its prompt and its seed."""

import hashlib
import json
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that changes pixels, except prompt and seed.

    Latents are reused only between requests with equal recipes.

    Attributes:
        vae: the fingerprint of the VAE.
        transformer: the fingerprints of the transformers.
        text_encoder: the fingerprints of text encoder and tokenizer.
        dtype: the dtypes of the computation.
        run_by: versions of the code and of jax, the device, and the random number
            generator.
        step_caches: the step cache of misses; "" if every step is computed.
        solver: the name of the solver.
        sigmas: the noise levels of the schedule, falling from 1.
        timesteps: the network's input for each noise level.
        shift: the shift of the schedule.
        guidance_scale: the request's guidance scale.
        negative_prompt: the request's negative prompt; "" without guidance.
        frames: the number of frames.
        height: the height in pixels.
        width: the width in pixels.
        inputs: the digest of the request's input images, and the fingerprint of the
            encoder that reads them; "" without images.
        experts: the transformer of each step, for a model with several.
        guidance_scales: a guidance scale per transformer, for a model with several.
        fps: the frame rate that positions assume; None if the model does not use it.
        perturbed: scale, rescaling and layers of spatio-temporal guidance; () without.
        joint: the settings of joint guidance of video and audio; () without.
        tokens: the token budgets; "" if all tokens are run in all steps.
    """

    vae: str
    transformer: str
    text_encoder: str
    dtype: str
    solver: str
    sigmas: tuple[float, ...]
    timesteps: tuple[float, ...]
    shift: float
    guidance_scale: float
    negative_prompt: str
    frames: int
    height: int
    width: int
    run_by: str = ""
    step_caches: str = ""
    inputs: str = ""
    experts: tuple[str, ...] = ()
    guidance_scales: tuple[float, ...] = ()
    fps: float | None = None
    perturbed: tuple[float, ...] = ()
    joint: tuple[float, ...] = ()
    tokens: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of all fields, in hex.

        Raises:
            ValueError: for a number that is not finite.
        """
        fields = dict(vars(self))
        # 5 and 5.0 are the same scale, but not the same text.
        for name in ("sigmas", "timesteps", "guidance_scales", "perturbed", "joint"):
            fields[name] = [float(number) for number in fields[name]]
        for name in ("shift", "guidance_scale"):
            fields[name] = float(fields[name])
        text = json.dumps(fields, sort_keys=True, allow_nan=False)
        return hashlib.sha256(b"chorus recipe 4\n" + text.encode()).hexdigest()
