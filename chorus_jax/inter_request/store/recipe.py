"""What decides a video besides its prompt and its seed."""

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that changes pixels, but for prompt and seed.

    `model` is the fingerprint of all weights used, `transformer` the part of the model
    that denoised (a folder may hold several), `text_encoder` the fingerprint of encoder
    and tokenizer, `dtype` those computed in. `sigmas` are the schedule, from 1 down,
    and `timesteps` what the network is told of it.
    `conditioning` is the digest of an image or video that the request came with, `lora`
    that of adapters and their strengths; both "" without. `experts` are the names of
    the transformers of all steps and `guidance_scales` those of the experts, of a model
    with several. Latents are reused only where the whole recipe is the same.
    """

    model: str
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
    conditioning: str = ""
    lora: str = ""
    experts: tuple[str, ...] = ()
    guidance_scales: tuple[float, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of all fields, in hex. ValueError for a number that is not finite."""
        fields = asdict(self)
        # 5 and 5.0 are one scale, but not one text.
        for name in ("sigmas", "timesteps", "guidance_scales"):
            fields[name] = [float(number) for number in fields[name]]
        for name in ("shift", "guidance_scale"):
            fields[name] = float(fields[name])
        # With one transformer the digest is that of recipes without these fields.
        for name in ("experts", "guidance_scales"):
            if not fields[name]:
                del fields[name]
        text = json.dumps(fields, sort_keys=True, allow_nan=False)
        return hashlib.sha256(b"chorus recipe 1\n" + text.encode()).hexdigest()
