"""The settings of a request that a measured step cache depends on."""

from typing import Any

from chorus_jax.request import Request


def run_of(request: Request) -> dict[str, Any]:
    """The settings of a request that a measured step cache depends on, by name."""
    fields = ("solver", "shift", "height", "width", "frames", "guided")
    return {
        "steps": request.step_count,
        **{name: getattr(request, name) for name in fields},
    }
