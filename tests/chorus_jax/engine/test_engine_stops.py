"""Requests that are observed and stopped: their events, and what they leave."""

import threading
import time

import numpy as np
import pytest

from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.engine import Denoised, Engine, Progress, StoppedError
from chorus_jax.engine.fair_lock import FairLock
from tests.chorus_jax.engine.tiny import BLUE, STEPS, small


def watched(engine, request):
    """The events of a request, and its result."""
    events = []
    result = engine.generate(request, observer=events.append)
    return events, result


def stages(events):
    """The progress of each stage."""
    made = {}
    for event in events:
        if isinstance(event, Progress):
            made.setdefault(event.stage, []).append((event.done, event.total))
    return made


DECODED = [(1, 2), (2, 2)]


def test_a_miss_shows_each_step_and_group(engine):
    events, result = watched(engine, small(seed=3))
    steps = [(i, STEPS) for i in range(1, STEPS + 1)]
    assert stages(events) == {"denoise": steps, "decode": DECODED}
    [done] = [event for event in events if isinstance(event, Denoised)]
    assert done.plan == StepPlan.plain(STEPS) and done.chosen is None
    assert done.work.tolist() == [result.ledger.equivalents] == [STEPS]
    assert events.index(done) == STEPS


def test_a_hit_shows_its_own_steps_and_its_region(engine):
    engine.generate(small(seed=3))
    events, result = watched(engine, small(BLUE, seed=4))
    assert result.ledger.kind == "semantic"
    steps = [(i, STEPS) for i in range(3, STEPS + 1)]
    assert stages(events) == {"denoise": steps, "decode": DECODED}
    [done] = [event for event in events if isinstance(event, Denoised)]
    tiling = engine.pipeline.model.geometry(small()).tiling
    assert done.plan.start == 2
    assert done.chosen.tiles.shape == (1, tiling.count // 2)
    assert done.work.tolist() == [result.ledger.equivalents]


def test_a_replay_shows_its_decoding(engine):
    engine.generate(small(seed=3))
    events, result = watched(engine, small(seed=3))
    assert result.ledger.kind == "exact"
    assert stages(events) == {"decode": DECODED} and len(events) == 2


def test_being_watched_changes_no_byte_and_compiles_nothing(engine):
    plain = engine.generate(small(seed=3))
    programs = loop.advance._cache_size()
    engine.cache.store.delete(plain.entry)
    _, seen = watched(engine, small(seed=3))
    assert seen.ledger.kind == "miss" and loop.advance._cache_size() == programs
    np.testing.assert_array_equal(seen.video.latents, plain.video.latents)


@pytest.mark.parametrize("kind", ["miss", "semantic"])
@pytest.mark.parametrize("step", [3, 4])
def test_a_stop_ends_the_run_within_two_steps(engine, monkeypatch, kind, step):
    if kind == "semantic":
        engine.generate(small(seed=3))
    before = {head.id for head in engine.cache.store}
    stop, called, advance = threading.Event(), [], loop.advance

    def counted(inputs, state, until, **more):
        called.append(int(until[0]))
        return advance(inputs, state, until, **more)

    def observer(event):
        if isinstance(event, Progress) and (event.stage, event.done) == (
            "denoise",
            step,
        ):
            stop.set()

    monkeypatch.setattr(loop, "advance", counted)
    with pytest.raises(StoppedError):
        engine.generate(small(BLUE, seed=4), observer=observer, stop=stop)
    assert step <= max(called) <= step + 2
    assert {head.id for head in engine.cache.store} == before
    # Nothing of it is in the way of a later request.
    ledger = engine.generate(small(BLUE, seed=4)).ledger
    assert ledger.kind == kind and called[-1] == STEPS


def test_a_stop_ends_decoding(engine):
    stop, seen = threading.Event(), []

    def observer(event):
        seen.append(event)
        if isinstance(event, Progress) and event.stage == "decode":
            stop.set()

    with pytest.raises(StoppedError):
        engine.generate(small(seed=3), observer=observer, stop=stop)
    assert stages(seen)["decode"] == DECODED[:1] and not len(engine.cache.store)
    assert engine.generate(small(seed=3)).ledger.kind == "miss"


def test_a_stopped_request_leaves_nothing(engine):
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        engine.generate(small(seed=3), stop=stop)
    assert not len(engine.cache.store)


def test_a_stopped_request_is_not_replayed(engine):
    engine.generate(small(seed=3))
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        engine.generate(small(seed=3), stop=stop)
    [head] = engine.cache.store
    assert head.last_used == head.created


@pytest.mark.parametrize("waits_for", ["embed", "denoise"])
def test_a_request_stopped_while_it_waits_for_the_device_computes_nothing(
    engine, monkeypatch, waits_for
):
    stop, waiting, errors = threading.Event(), threading.Event(), []
    owner, part = {
        "embed": (engine.pipeline, "condition"),
        "denoise": (engine, "run"),
    }[waits_for]
    monkeypatch.setattr(owner, part, lambda *_: pytest.fail(f"{part} was run"))

    class Busy(FairLock):
        """A device that another request uses for as long as this one is there."""

        def held(self, ticket=None, check=lambda: None):
            waiting.set()
            assert stop.wait(60)
            check()
            pytest.fail("a stopped request went on")

    if waits_for == "embed":
        engine.device_lock = Busy()
    else:
        source = engine.sources

        def look(*given):
            engine.device_lock = Busy()
            return source(*given)

        monkeypatch.setattr(engine, "sources", look)

    def work():
        with pytest.raises(StoppedError):
            engine.generate(small(seed=3), stop=stop)
        errors.append(None)

    thread = threading.Thread(target=work)
    thread.start()
    assert waiting.wait(60)
    stop.set()
    thread.join()
    assert errors == [None] and not len(engine.cache.store)


def test_engines_of_one_pipeline_take_turns(engine):
    other = Engine(engine.pipeline, engine.cache)
    assert other.device_lock is engine.device_lock


def test_an_observer_that_calls_its_engine_is_told_so(engine):
    """It would wait for itself for ever."""
    calls = [
        lambda event: engine.generate(small(BLUE, seed=4)),
        lambda event: engine.forget("default"),
        lambda event: engine.query(small(BLUE)),
    ]
    for observer in calls:
        with pytest.raises(RuntimeError, match="call the engine from another thread"):
            engine.generate(small(seed=3), observer=observer)
    assert not len(engine.cache.store)
    assert engine.generate(small(seed=3)).ledger.kind == "miss"


def test_after_the_last_step_only_the_latents_are_kept(engine, monkeypatch):
    """Held keys and step caches would be on the devices while the video is decoded."""
    states, run = [], Engine.run

    def kept(*given):
        states.append(run(*given))
        return states[-1]

    monkeypatch.setattr(Engine, "run", kept)
    engine.generate(small(seed=3))
    hit = engine.generate(small(BLUE, seed=4))
    assert hit.ledger.active == 0.5
    for state, *_ in states:
        assert (state.keys, state.caches) == ((), ())
        assert (state.solver, state.budgets) == (None, None)
    region = states[1][0].region
    assert region.parts == () and region.chosen is not None


def test_the_time_of_an_observer_is_not_the_requests(engine):
    """A client that reads slowly makes no request slower."""
    engine.generate(small(seed=3))  # compiles
    slow = lambda event: time.sleep(0.05)
    result = engine.generate(small(BLUE, seed=3), observer=slow)
    assert sum(result.ledger.seconds.values()) < 0.05 * STEPS


@pytest.mark.parametrize("part", ["run", "decoded"])
def test_a_request_stopped_at_work_leaves_nothing(engine, monkeypatch, part):
    stop, work = threading.Event(), getattr(engine, part)

    def stopped(*given):
        made = work(*given)
        stop.set()
        return made

    monkeypatch.setattr(engine, part, stopped)
    with pytest.raises(StoppedError):
        engine.generate(small(seed=3), stop=stop)
    assert not len(engine.cache.store)
