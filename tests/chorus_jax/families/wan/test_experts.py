"""Two experts: which one runs in a step; the whole model against diffusers."""

import json
import math
from dataclasses import replace
from itertools import pairwise

import jax
import numpy as np
import pytest

import chorus_jax
from chorus_jax import checkpoints
from chorus_jax.calibration.cache_methods import METHODS
from chorus_jax.calibration.cache_runs import CacheRuns
from chorus_jax.calibration.full_runs import FullRuns
from chorus_jax.calibration.sensitivity import PathRecorder
from chorus_jax.calibration.step_caches import CacheCalibration
from chorus_jax.checkpoints import Card
from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.region import Region
from chorus_jax.engine.cache import Cache
from chorus_jax.engine.engine import Engine
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.engine.plans import within_expert
from chorus_jax.engine.recipes import recipe_of
from chorus_jax.engine.sources import SWITCHED
from chorus_jax.families import registry
from chorus_jax.families.wan.experts import HIGH, LOW, experts
from chorus_jax.families.wan.model import WanModel, scales
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.intra_request import EveryStep
from chorus_jax.intra_request.tea import TeaCache
from chorus_jax.request import Request
from convert.__main__ import main

BOUNDARY = 0.875
SCALES = {"guidance_scale_high": 4.0, "guidance_scale_low": 3.0}


def small(**changes):
    fields = {"frames": 9, "height": 32, "width": 48, "steps": 8, "seed": 7, **SCALES}
    return Request("a red circle moves left", **(fields | changes))


@pytest.fixture(scope="module")
def theirs(diffusers_pipeline, another):
    parts = dict(diffusers_pipeline.components)
    parts |= {"transformer": another(1), "transformer_2": another(2)}
    return type(diffusers_pipeline)(**parts, boundary_ratio=BOUNDARY)


@pytest.fixture(scope="module")
def folder(theirs, convert):
    return convert(theirs, "experts")


@pytest.fixture(scope="module")
def pipeline(folder):
    return Pipeline.load(folder)


def difference(video, want):
    assert video.frames.shape == want.shape and video.frames.dtype == np.uint8
    # Ours are rounded to whole levels, which is up to half a level.
    return np.abs(video.frames.astype(float) - 255 * want).max()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"negative_prompt": "gray background", "steps": 12},
        {"guidance_scale_high": 2.0, "guidance_scale_low": 1.0},
    ],
    ids=["8 steps", "12 steps, negative prompt", "low scale of 1"],
)
def test_equals_diffusers(changes, pipeline, theirs, frames_of):
    request = small(**changes)
    assert len(set(pipeline.model.experts(request))) == 2
    high, low = request.guidance_scales
    scales = {"guidance_scale": high, "guidance_scale_2": low}
    want = frames_of(theirs, pipeline.model, request, **scales)
    [video] = pipeline(request)
    assert difference(video, want) <= 0.51


def test_both_scales_are_the_usual_one_if_not_given(pipeline, theirs, frames_of):
    request = small(guidance_scale=3.0, guidance_scale_high=None)
    request = replace(request, guidance_scale_low=None)
    want = frames_of(theirs, pipeline.model, request, guidance_scale=3.0)
    assert difference(pipeline(request)[0], want) <= 0.51


def test_swapping_the_scales_or_the_experts_is_seen(pipeline):
    """The official tuple is (low, high), diffusers' is (high, low)."""
    swapped = small(guidance_scale_high=3.0, guidance_scale_low=4.0)
    videos = pipeline(small())[0], pipeline(swapped)[0]
    assert np.abs(videos[0].latents - videos[1].latents).max() > 1e-3
    assert pipeline.model.experts(small())[0] == HIGH


def test_in_pieces_it_gives_the_same_bytes(pipeline):
    [whole] = pipeline(small())
    *_, last = pipeline.stream(small(), every=1)
    np.testing.assert_array_equal(whole.latents, last.videos[0].latents)


@pytest.fixture(scope="module")
def offloaded(folder):
    return chorus_jax.load(folder, idle_expert="host")


def test_an_idle_expert_on_the_host_changes_rounding_only(pipeline, offloaded):
    """Its experts run in a program each, not in one of both."""
    model = offloaded.model
    kinds = lambda tree: {x.sharding.memory_kind for x in jax.tree.leaves(tree)}
    assert kinds(model.transformers) == {"pinned_host"}
    [want], [ours] = pipeline(small()), offloaded(small())
    np.testing.assert_allclose(ours.latents, want.latents, atol=1e-4)
    resident = model.resident
    assert (resident.name, kinds(resident.copy)) == (LOW, {"device"})
    # The next run begins with the high expert again; calls of a step change no byte.
    *_, last = offloaded.stream(small(), every=1)
    np.testing.assert_array_equal(last.videos[0].latents, ours.latents)


def test_step_caches_are_measured_with_an_idle_expert_on_the_host(offloaded):
    state, frames = CacheRuns(offloaded).run(small(), EveryStep())
    [want] = offloaded(small())
    np.testing.assert_array_equal(state.latents[0], want.latents)
    np.testing.assert_array_equal(frames, want.frames)


def test_single_passes_have_their_expert_on_the_devices(offloaded):
    """SenCache's norms, at the steps of both experts."""
    request, runs = small(steps=4), CacheRuns(offloaded)
    state, _ = runs.run(request, PathRecorder(4))
    full = FullRuns((), [state], 4, 2, request.shift, [request], runs)
    assert offloaded.model.experts(request) == (HIGH,) * 2 + (LOW,) * 2
    assert (full.norms() > 0).all()


@pytest.fixture(scope="module")
def calibration(pipeline):
    calibrated = CacheCalibration(pipeline, [small(seed=n, steps=12) for n in range(4)])
    calibrated.run_judged(calibrated.requests[3:])
    return calibrated


@pytest.mark.parametrize("method", ["tea", "profiling"])
def test_step_caches_are_fitted_to_both_experts(method, calibration):
    names = calibration.pipeline.model.experts(calibration.requests[0])
    full = calibration.record(method, calibration.requests[:2])
    bold, *_ = METHODS[method].settings(full)
    if method == "tea":
        assert bold.switch == names.index(LOW)
        assert len(bold.second) == len(bold.coefficients) == 5
    else:
        assert names.index(LOW) in bold.full and bold.background
        share = 1 - 4 / 12 * len(bold.background) / 2  # of two layers
        assert calibration.measured(bold).figures["computed"] == pytest.approx(share)


def test_a_router_is_not_trained_with_an_idle_expert_on_the_host(offloaded):
    calibration = CacheCalibration(offloaded, [small(seed=n) for n in range(4)])
    with pytest.raises(ValueError, match="needs both experts on the devices"):
        calibration.choose("harmonica", 30.0, 0.9)


def test_an_idle_expert_is_in_one_of_two_places(weights, monkeypatch):
    monkeypatch.setattr(checkpoints, "load", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(ValueError, match="one of devices, host, got 'disk'"):
        chorus_jax.load(weights, idle_expert="disk")


@pytest.mark.parametrize("boundary, high", [(0.875, 3), (0.9, 2), (None, 5)])
def test_the_boundary_itself_is_the_high_expert(boundary, high):
    names = experts((999.0, 900.0, 875.0, 874.9, 0.0), boundary)
    assert names == (HIGH,) * high + (LOW,) * (5 - high)


@pytest.mark.parametrize("high, low", [(4.0, 1.0), (1.0, 3.0)])
def test_an_expert_without_guidance_does_not_take_it_from_the_other(high, low):
    """A server dropped the negative pass of one stage with the other's scale."""
    request = small(guidance_scale_high=high, guidance_scale_low=low)
    assert request.guided and request.passes == 2
    for expert, scale in ((HIGH, high), (LOW, low)):
        np.testing.assert_array_equal(scales([request], expert), [scale])


@pytest.mark.parametrize("high, low", [(4.0, 0.0), (0.5, 3.0)])
def test_a_scale_below_1_is_no_guidance(high, low):
    """Not guidance towards the negative prompt."""
    request = small(guidance_scale_high=high, guidance_scale_low=low)
    for expert, scale in ((HIGH, high), (LOW, low)):
        np.testing.assert_array_equal(scales([request], expert), [max(scale, 1.0)])


def test_the_card_keeps_the_boundary_and_the_parts_are_no_alternatives(folder):
    card = Card.read(folder)
    assert card.settings == {"boundary_ratio": BOUNDARY}
    assert set(card.parts) == {"transformer", LOW, "vae", "text_encoder"}
    assert registry.family_of(folder).distilled(folder) == ()
    assert LOW in dict(registry.family_of(folder).lines(folder))


def test_recipes_know_both_experts_and_both_scales(pipeline, folder):
    known = lambda request: recipe_of(request, pipeline.model, Policy(4, ()))
    recipe = known(small())
    prints = [Card.read(folder).part(name).fingerprint for name in (HIGH, LOW)]
    assert recipe.transformer.split() == prints
    others = [
        small(guidance_scale_low=3.5),
        small(guidance_scale_high=3.5),
        small(shift=3.0),
    ]
    digests = {known(x).digest for x in [small(), *others]}
    assert len(digests) == 4
    same = small(guidance_scale=9.0)  # not used beside the two
    assert known(same).digest == recipe.digest


def test_one_transformer_refuses_scales_of_experts(weights):
    with pytest.raises(ValueError, match="guidance_scale_high .* 4.0 and 3.0"):
        Pipeline.load(weights)(small())


def test_two_transformers_need_a_boundary(pipeline):
    model = pipeline.model
    parts = {**model.transformers, "vae": model.vae}
    parts["text_encoder"] = model.prompts.encoder
    for boundary in (None, 0.0, 1.5):
        with pytest.raises(ValueError, match="boundary_ratio"):
            WanModel(parts, model.prompts.tokenizer, boundary=boundary)


@pytest.mark.parametrize("missing", ["boundary_ratio", "transformer_2"])
def test_half_a_pair_is_not_converted(missing, theirs, tmp_path, capsys):
    theirs.save_pretrained(tmp_path / "source")
    file = tmp_path / "source" / "model_index.json"
    index = json.loads(file.read_text())
    index[missing] = None if missing == "boundary_ratio" else [None, None]
    file.write_text(json.dumps(index))
    assert main(["wan", str(tmp_path / "source"), str(tmp_path / "out")]) == 1
    assert "transformer_2 and a boundary_ratio" in capsys.readouterr().err


def test_export_gives_the_pair_back(folder, theirs, tmp_path):
    from diffusers import WanPipeline

    assert main(["export", str(folder), str(tmp_path / "back")]) == 0
    again = WanPipeline.from_pretrained(tmp_path / "back")
    assert again.config.boundary_ratio == BOUNDARY
    for name in (HIGH, LOW):
        ours, want = (getattr(x, name).state_dict() for x in (again, theirs))
        assert ours.keys() == want.keys()
        assert all((ours[key] == want[key]).all() for key in want)


REGION = Region((1, 2, 2), core=4, halo=0, open_until=0)


@pytest.mark.parametrize("switch, regional", [(1, True), (2, False), (4, False)])
def test_a_region_stays_within_one_expert(switch, regional):
    plan = StepPlan.staged(8, 1, 6, REGION)
    names = (HIGH,) * switch + (LOW,) * (8 - switch)
    assert (within_expert(plan, names).region is not None) == regional
    if not regional:
        assert within_expert(plan, names) == StepPlan.plain(8, first=1)


@pytest.fixture(scope="module")
def reused(pipeline):
    """A function: the ledger of a hit whose tier ends its region at a step."""

    def ledger(first, last):
        tier = Tier(0.0, first, last, 0.25)
        policy = Policy(8, (tier,), Regions(limit=math.inf))
        cache = Cache.in_memory()
        engine = Engine(pipeline, cache, policy)
        request = small(height=64, width=96)  # 4 tiles
        engine.generate(request)
        other = replace(request, prompt="a blue circle moves left")
        result = engine.generate(other)
        cache.close()
        return result.ledger

    return ledger


def test_a_hit_across_the_switch_runs_all_tokens_and_says_so(reused, pipeline):
    assert pipeline.model.experts(small()) == (HIGH,) * 4 + (LOW,) * 4
    ledger = reused(2, 6)
    assert ledger.kind == "semantic" and ledger.reason == SWITCHED
    assert ledger.active == 1.0 and ledger.equivalents == 6


def test_a_hit_within_one_expert_keeps_its_region(reused):
    ledger = reused(4, 7)
    assert ledger.kind == "semantic" and ledger.reason == ""
    assert ledger.active < 1 and ledger.equivalents < 4


def test_a_step_cache_begins_anew_at_the_switch(pipeline):
    """A cache that foresees no change at all computes the first step of each expert,
    and the run's last one."""
    cache = TeaCache(1e9, (1.0,), first=1, last=1)
    request = small()
    plan = StepPlan.plain(8, cache=cache)
    conditions, _ = pipeline.condition([request])
    program = pipeline.program(request, plan)
    noise = pipeline.noise([request], program.geometry, conditions)
    state = loop.start(pipeline.inputs(conditions), noise, program=program)
    done = [float(state.work[0])]
    for _, state in loop.in_pieces(
        pipeline.inputs(conditions), state, program, every=1, ahead=0
    ):
        done.append(float(state.work[0]))
    computed = [i for i, (a, b) in enumerate(pairwise(done)) if b - a > 0.5]
    assert computed == [0, 4, 7]
