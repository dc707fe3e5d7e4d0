"""The shipped weights, exported and run by diffusers' WanPipeline."""

from dataclasses import replace

import pytest

from benchmarks.model.shipped import exported, psnr_to_diffusers
from chorus_jax.checkpoints import shipped
from chorus_jax.engine.pipeline import Pipeline
from configs import shapes


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("exported") / "shapes")


def test_diffusers_makes_the_same_video(reference):
    prompt = "a red circle moves left on a gray background"
    request = replace(shapes.get_config(), prompt=prompt, seed=1, steps=16)
    ours = Pipeline.load(shipped.folder(shapes.WEIGHTS), dtype="float32")
    [video] = ours(request)
    assert video.frames.std() > 10
    assert psnr_to_diffusers(ours, reference, request) > 45
