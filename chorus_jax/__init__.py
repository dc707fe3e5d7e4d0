"""Text-to-video diffusion that reuses earlier requests, steps and tokens.

    import chorus_jax as cj

    pipeline = cj.load("shapes")
    engine = cj.Engine(pipeline, cj.Cache.in_folder("cache", disk_bytes=2**30))
    result = engine.generate(pipeline.request("a red circle moves left", seed=1))
    cj.write_video("video.mp4", result.video.frames, pipeline.defaults.fps)

Each name is imported at its first use, so `import chorus_jax` alone loads no jax.
"""

import importlib

# Replaces `typing.TYPE_CHECKING`, because importing typing is slow.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from chorus_jax.devices.sharding import make_mesh
    from chorus_jax.engine import Cache, Engine, Pipeline, Reuse
    from chorus_jax.engine.loading import load
    from chorus_jax.engine.source_files import SourceFiles
    from chorus_jax.inter_request.policy.policy import Policy
    from chorus_jax.inter_request.policy.policy_file import read_policy
    from chorus_jax.intra_request.protocol import StepCache
    from chorus_jax.media.input_video import InputVideo
    from chorus_jax.media.inputs import InputMedia
    from chorus_jax.media.keyframes import Keyframe
    from chorus_jax.media.video import write as write_video
    from chorus_jax.request import Request

    __version__: str

__all__ = ["Cache", "Engine", "Pipeline", "Policy", "Request", "Reuse", "SourceFiles"]
__all__ += ["InputMedia", "InputVideo", "Keyframe", "StepCache"]
__all__ += ["__version__", "load", "make_mesh", "read_policy", "write_video"]

_PLACES = {
    "Cache": ("chorus_jax.engine", "Cache"),
    "Engine": ("chorus_jax.engine", "Engine"),
    "InputMedia": ("chorus_jax.media.inputs", "InputMedia"),
    "InputVideo": ("chorus_jax.media.input_video", "InputVideo"),
    "Keyframe": ("chorus_jax.media.keyframes", "Keyframe"),
    "Pipeline": ("chorus_jax.engine", "Pipeline"),
    "Policy": ("chorus_jax.inter_request.policy.policy", "Policy"),
    "Request": ("chorus_jax.request", "Request"),
    "Reuse": ("chorus_jax.engine", "Reuse"),
    "StepCache": ("chorus_jax.intra_request.protocol", "StepCache"),
    "SourceFiles": ("chorus_jax.engine.source_files", "SourceFiles"),
    "load": ("chorus_jax.engine.loading", "load"),
    "make_mesh": ("chorus_jax.devices.sharding", "make_mesh"),
    "read_policy": ("chorus_jax.inter_request.policy.policy_file", "read_policy"),
    "write_video": ("chorus_jax.media.video", "write"),
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("chorus_jax")
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _PLACES[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
