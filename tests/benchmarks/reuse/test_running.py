"""Arms run as expected or raise; without reuse the engine equals the pipeline."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.reuse import comparison as chorus_comparison
from benchmarks.reuse.bench import Bench, Target
from benchmarks.reuse.cases import held_out
from benchmarks.reuse.comparison import ArmComparison
from benchmarks.reuse.running import Fewer, Reusing
from chorus_jax.calibration import target as calibration_target
from chorus_jax.denoise.state import Chosen
from chorus_jax.engine import Cache, Denoised, Ledger, Pipeline
from chorus_jax.families.forward import Geometry
from chorus_jax.inter_request.policy.policies import default_policy
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.training.world.attributes import Attributes
from chorus_jax.training.world.examples import ScenePrompt
from configs import shapes

GEOMETRY = Geometry((("video", (5, 8, 8, 16)),), (5, 8, 8), (1, 1, 1), (1, 2, 2))
POLICY = Policy(50, (Tier(0.6, 20, 40, active=0.5), Tier(0.9, 20, 40)))
ASKED = Attributes("red", "circle", "small", "left", "gray")


def target(score, rows=32):
    request = shapes.get_config()
    return Target(0, ScenePrompt("a", (ASKED,)), request, rows, "source", score)


@pytest.fixture
def arm(monkeypatch):
    monkeypatch.setattr(calibration_target, "Engine", lambda *_: SimpleNamespace())
    pipeline = object.__new__(Pipeline)
    pipeline.model = SimpleNamespace(geometry=lambda request: GEOMETRY)
    bench = Bench(pipeline, Cache.in_memory(0), ())
    return Reusing(bench, POLICY)


def test_work_is_known_before_the_run(arm):
    found = [arm.equivalents(target(score)) for score in (None, 0.5, 0.7, 0.95)]
    assert found == [50, 50, 1 + 19 / 2 + 10, 30]


def test_programs_differ_by_plan_and_rows(arm):
    programs = [
        *(arm.program(target(score)) for score in (0.5, 0.7, 0.8, 0.95)),
        arm.program(target(0.7, rows=64)),
    ]
    assert programs[1] == programs[2]
    assert len(set(programs)) == 4


@pytest.mark.parametrize(
    "ledger",
    [
        Ledger("miss", 50, 50.0),
        Ledger("exact", 50, 0.0, 1.0, "source"),
        Ledger("semantic", 50, 20.5, 0.7, "another", 20, 40),
        Ledger("semantic", 50, 20.5, 0.7, "source", 10, 40),
    ],
    ids=["miss", "replay", "source", "tier"],
)
def test_another_run_than_was_known_stops_the_benchmark(arm, ledger):
    with pytest.raises(RuntimeError, match="expected .'semantic', 'source', 20, 40"):
        arm.check(target(0.7), ledger)
    arm.check(target(0.7), Ledger("semantic", 50, 20.5, 0.7, "source", 20, 40))
    arm.check(target(0.5), Ledger("miss", 50, 50.0, 0.5))


def test_the_region_is_the_core_unless_all_tokens_were_run(arm):
    plan = arm.plan(target(0.7))
    tiles = np.arange(plan.region.tiles)[None]
    chosen = Chosen(tiles, np.zeros((1, 80)), np.zeros(1), np.array(False))
    run = Denoised(plan, chosen, np.ones(1))
    found = arm.region(target(0.7), run)
    assert found.shape == (5, 8, 8) and found.sum() == 4 * plan.region.core
    whole = replace(run, chosen=chosen._replace(all_tokens=np.array(True)))
    assert arm.region(target(0.7), whole) is None
    assert arm.region(target(0.95), replace(run, chosen=None)) is None


def test_fewer_steps_are_the_pipelines():
    asked, seconds = [], {"denoise": 1.0}

    def pipeline(request):
        asked.append(request.steps)
        return [SimpleNamespace(frames=np.zeros(1), seconds=seconds)]

    bench = SimpleNamespace(pipeline=pipeline, forget=lambda request: None)
    run = Fewer(bench, {0: 12})(target(0.7))
    assert asked == [12] == [run.ledger.equivalents]
    assert (run.ledger.kind, run.ledger.total) == ("miss", 1.0)


@pytest.mark.parametrize("off", [0.0, 1e-6])
def test_an_engine_that_is_not_the_pipeline_stops_the_benchmark(monkeypatch, off):
    video = lambda off: SimpleNamespace(
        latents=np.full(3, off, np.float32), frames=np.zeros(3, np.uint8)
    )

    class Engine:
        def __init__(self, pipeline, cache, policies):
            assert not policies.tiers

        def generate(self, request, reuse):
            assert not reuse.write
            return SimpleNamespace(video=video(off))

    monkeypatch.setattr(chorus_comparison, "Engine", Engine)
    loaded = SimpleNamespace(
        request=shapes.get_config(), pipeline=lambda request: [video(0.0)]
    )
    comparison = ArmComparison(loaded, default_policy(50), "default")
    cases = held_out().cases(1, 1, seed=0)
    if off:
        with pytest.raises(SystemExit, match="latents are not the pipeline's"):
            comparison.check_plain(cases)
    else:
        comparison.check_plain(cases)
