"""The settings of a request that a measured step cache depends on."""

from typing import Any

from chorus_jax.request import Request

FIELDS = ("solver", "shift", "height", "width", "frames", "fps", "guided")
GUIDANCE = ("perturbed", "joint", "guidance_schedule")
DIGITS = 6  # of noise levels


def run_of(request: Request) -> dict[str, Any]:
    """The settings of a request that a measured step cache depends on, by name.

    They are values of JSON: what is read from a file equals what was written.
    """
    levels = request.make_solver().schedule.sigmas
    given = None if request.inputs is None else str(request.inputs.layout)
    guidance = {name: getattr(request, name) for name in GUIDANCE}
    return {
        "steps": request.step_count,
        **{name: getattr(request, name) for name in FIELDS},
        "sigmas": [round(float(level), DIGITS) for level in levels],
        "given_frames": given,
        "guidance_scales": [float(scale) for scale in request.guidance_scales],
        **{name: None if x is None else str(x) for name, x in guidance.items()},
    }
