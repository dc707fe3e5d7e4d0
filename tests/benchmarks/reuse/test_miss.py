"""Misses and plain requests take turns, on stand-ins for engines; rows and table."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.reuse import miss
from benchmarks.reuse.miss import PLAIN, Taken, check, rounds, row
from benchmarks.reuse.tables import TABLES
from chorus_jax.engine import Ledger
from chorus_jax.request import Request

FRAMES = np.zeros(3, np.uint8)


class StandIn:
    """An engine or a pipeline that takes so many seconds of a clock of its own."""

    def __init__(self, name, seconds, clock, frames=FRAMES):
        self.name, self.seconds, self.clock, self.frames = name, seconds, clock, frames
        self.deleted = []
        store = SimpleNamespace(delete=self.deleted.append)
        self.cache = SimpleNamespace(store=store)
        forget = lambda: clock.notes.append("forget")
        self.model = SimpleNamespace(forget_prompts=forget)

    def __call__(self, request):
        self.clock.pass_by(self.name, self.seconds)
        return [SimpleNamespace(frames=self.frames)]

    def generate(self, request):
        self.clock.pass_by(self.name, self.seconds)
        ledger = Ledger("miss", 4, 4.0, seconds={"denoise": self.seconds - 0.5})
        video = SimpleNamespace(frames=self.frames)
        entry = f"{self.name} {request.seed}"
        return SimpleNamespace(ledger=ledger, video=video, entry=entry)


class Clock:
    """Seconds that pass only when a stand-in works."""

    def __init__(self):
        self.now, self.notes = 0.0, []

    def pass_by(self, name, seconds):
        self.now += seconds
        self.notes.append(name)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(miss.time, "perf_counter", lambda: clock.now)
    return clock


@pytest.fixture
def engines(clock):
    seconds = {"miss": 3.0, "folder": 4.0}
    return {name: StandIn(name, each, clock) for name, each in seconds.items()}


def loaded(clock, frames=FRAMES):
    pipeline = StandIn(PLAIN, 2.0, clock, frames)
    told = {"weights": {"vae": "a"}}
    return SimpleNamespace(
        pipeline=pipeline, request=Request("", seed=0), steps=4, facts=told
    )


def test_all_take_turns_with_new_prompts_and_the_first_round_does_not_count(
    clock, engines
):
    found = list(rounds(loaded(clock), engines, 3))
    assert [list(each) for each in found] == [[PLAIN, "miss", "folder"]] * 3
    assert clock.notes[::2] == ["forget"] * 12
    turns = [clock.notes[i + 1 : i + 6 : 2] for i in range(0, 24, 6)]
    orders = [[PLAIN, "miss", "folder"], ["miss", "folder", PLAIN]]
    assert turns == [*orders, ["folder", PLAIN, "miss"], orders[0]]
    taken = {PLAIN: Taken(2.0), "miss": Taken(3.0, 0.5), "folder": Taken(4.0, 0.5)}
    assert found == [taken] * 3


def test_what_a_round_leaves_is_gone_in_the_next(clock, engines):
    list(rounds(loaded(clock), engines, 1))
    assert engines["miss"].deleted == ["miss 0", "miss 1"]
    assert engines["folder"].deleted == ["folder 0", "folder 1"]


def test_another_video_in_either_cache_stops_it(clock, engines):
    engines["folder"].frames = FRAMES + 1
    with pytest.raises(SystemExit, match="not what the pipeline makes"):
        list(rounds(loaded(clock), engines, 1))
    hit = SimpleNamespace(ledger=Ledger("semantic", 4, 2.0), entry="a")
    with pytest.raises(SystemExit, match="expected a miss that leaves an entry"):
        check(SimpleNamespace(frames=FRAMES), hit)


def test_ratios_are_of_pairs_and_the_table_has_both_caches(clock):
    of = lambda plain, ours: {PLAIN: Taken(plain), "miss": Taken(ours, ours / 10)}
    found = [of(1.0, 3.0), of(4.0, 4.0), of(2.0, 4.0)]
    made = row("miss", loaded(clock), 7, found)
    assert (made["seconds"], made["baseline_seconds"]) == (4.0, 2.0)
    assert (made["ratio"], made["admit_seconds"]) == (2.0, 0.4)
    assert made["entries"] == 7
    both = [made, {**made, "row": "miss_folder"}]
    lines = TABLES["miss"].draw(both).splitlines()[2:]
    figures = "| 4 | 2 | 2 | 0.4 |"
    assert lines == [f"| 4 steps, in {x} {figures}" for x in ("memory", "a folder")]
