"""Recipes: all that decides a video besides its prompt and its seed."""

import hashlib
import json
from dataclasses import asdict, dataclass

# Fields that are left out of the digest where they say nothing.
OPTIONAL = (
    *("step_caches", "inputs", "experts", "guidance_scales"),
    *("fps", "perturbed", "joint", "tokens"),
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that changes pixels, but for prompt and seed.

    Latents are reused only where the whole recipe is the same.

    Attributes:
        vae: the fingerprint of the VAE.
        transformer: those of the transformers that denoised.
        text_encoder: those of text encoder and tokenizer.
        dtype: the dtypes that were computed in.
        run_by: what computed: versions of code and jax, device, random numbers.
        step_caches: that of misses; "" if every step is computed.
        solver: the name of the solver.
        sigmas: the noise levels of the schedule, from 1 down.
        timesteps: what the network gets of each level.
        shift: that of the schedule.
        guidance_scale: that of the request.
        negative_prompt: that of the request, "" without guidance.
        frames: those of the video.
        height: in pixels.
        width: in pixels.
        inputs: the digest of the images that the request came with, and the
            fingerprint of the encoder that reads them; "" without images.
        experts: the transformer of each step, of a model with several.
        guidance_scales: those of the transformers, of a model with several.
        fps: the frames per second that positions stand for; None if the model does not
            read them.
        perturbed: scale, rescaling and layers of spatio-temporal guidance; () without.
        joint: the numbers of guidance of video and audio together; () without.
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
        """SHA-256 of all fields, in hex. ValueError for a number that is not finite."""
        fields = asdict(self)
        # 5 and 5.0 are one scale, but not one text.
        for name in ("sigmas", "timesteps", "guidance_scales", "perturbed", "joint"):
            fields[name] = [float(number) for number in fields[name]]
        for name in ("shift", "guidance_scale"):
            fields[name] = float(fields[name])
        # Text to video with one transformer has the digest of recipes without these.
        for name in OPTIONAL:
            if not fields[name]:
                del fields[name]
        text = json.dumps(fields, sort_keys=True, allow_nan=False)
        return hashlib.sha256(b"chorus recipe 3\n" + text.encode()).hexdigest()
