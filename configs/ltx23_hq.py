"""LTX-2.3, first pass of the HQ pipeline: 121 frames of 544 x 960, res_2s.

    chorus convert ltx-2.3-22b-dev.safetensors weights/ltx23_hq --text-encoder GEMMA \\
        --lora DISTILLED_LORA:0.25 --latent-upsampler UPSCALER
    chorus generate "PROMPT" --weights weights/ltx23_hq --config ltx23_hq

15 steps of two evaluations and a last evaluation: 31 in all, each of three forward
passes for guidance. The noise levels are those for the 8 160 tokens of this size;
another size or number of frames needs other levels (`TokenShift.sigmas`). The second
pass (`Pipeline.refine`) is at 1088 x 1920, with `paired((0.909375, 0.725, 0.421875))`
as steps, without guidance, and with the LoRA at .5 instead of .25.

Source: Lightricks/LTX-2, packages/ltx-pipelines, ltx_pipelines/ti2vid_two_stages_hq.py
and utils/constants.py (LTX_2_3_HQ_PARAMS).
"""

from chorus_jax.audio_video import AudioVideoGuidance
from chorus_jax.request import Request
from chorus_jax.schedulers.res2s import paired
from chorus_jax.schedulers.token_shift import TokenShift

TOKENS = 16 * 17 * 30  # of 121 frames of 544 x 960


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    levels = TokenShift().sigmas(15, TOKENS)
    return Request(
        "",
        frames=121,
        height=544,
        width=960,
        steps=paired(levels.tolist()),
        solver="res_2s",
        shift=1.0,
        guidance_scale=3.0,
        joint=AudioVideoGuidance(
            audio_scale=7.0, joint=3.0, rescale=0.45, audio_rescale=1.0
        ),
    )
