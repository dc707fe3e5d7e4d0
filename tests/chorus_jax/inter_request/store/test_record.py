"""The record: round trips, and statistics that survive torn writes."""

import os
from contextlib import contextmanager
from dataclasses import replace

import hypothesis.strategies as st
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given

from chorus_jax.inter_request.store import Secret, Statistics, head_json, record, uses

SECRET = Secret(bytes(range(32)))


@contextmanager
def written(folder, entry):
    path = folder / "record"
    path.write_bytes(b"".join(record.packed(entry, SECRET).pieces))
    handle = os.open(path, os.O_RDWR)
    try:
        yield handle
    finally:
        os.close(handle)


@given(
    side=st.integers(1, 5),
    steps=st.sets(st.integers(1, 50), max_size=5).map(sorted).map(tuple),
    dtype=st.sampled_from([np.float32, ml_dtypes.bfloat16]),
    number=st.integers(0, 2**31),
    prompt=st.none() | st.text(max_size=20),
    shared=st.booleans(),
)
def test_round_trip(make, same, tmp_path_factory, side, steps, dtype, number, **fields):
    entry = make(number, steps=steps, side=side, **fields)
    entry = replace(entry, final=entry.final.astype(dtype))
    with written(tmp_path_factory.mktemp("r"), entry) as handle:
        opened = record.opened(handle, entry.id, SECRET)
        found = record.entry(handle, opened)
        assert os.fstat(handle).st_size == record.packed(entry, SECRET).size
    assert same(found, entry)
    assert found.statistics == entry.statistics
    with pytest.raises(ValueError, match="read-only"):
        found.final[0] = 0


def test_other_dtypes_are_refused(make):
    entry = make(0)
    entry = replace(entry, final=entry.final.astype(np.float64))
    with pytest.raises(
        ValueError, match="kept as .'float32', 'bfloat16'., got float64"
    ):
        record.packed(entry, SECRET)


@pytest.mark.parametrize("change", ["id", "secret"])
def test_another_id_or_secret_is_not_ours_to_judge(make, tmp_path, change):
    entry = make(3)
    id = make(4).id if change == "id" else entry.id
    secret = Secret(bytes(32)) if change == "secret" else SECRET
    with written(tmp_path, entry) as handle:
        with pytest.raises(record.UnknownError, match="of another id|another secret"):
            record.opened(handle, id, secret)


def test_a_head_of_other_latents_is_damage(make, tmp_path, monkeypatch):
    entry, true = make(0), head_json.written

    def lying(entry, check, secret):
        return true(entry, check, secret).replace(b"[2, 4, 4, 8]", b"[2, 4, 9, 8]")

    monkeypatch.setattr(head_json, "written", lying)
    with written(tmp_path, entry) as handle:
        with pytest.raises(record.DamagedError, match="not those that its head tells"):
            record.opened(handle, entry.id, SECRET)


def hits(handle, entry, count):
    for i in range(count):
        opened = record.opened(handle, entry.id, SECRET)
        change = lambda s, i=i: s.hit(200.0 + i, 2.0)
        uses.rewrite(handle, opened.slots, opened.made, change)


def statistics(handle, entry):
    return record.opened(handle, entry.id, SECRET).described.head.statistics


@pytest.mark.parametrize("count", [1, 2, 5])
def test_uses_are_counted_in_place(make, tmp_path, count):
    entry = make(0)
    with written(tmp_path, entry) as handle:
        hits(handle, entry, count)
        now = statistics(handle, entry)
        assert now.hits == count
        assert (now.saved, now.last_used) == (2.0 * count, 199.0 + count)
        opened = record.opened(handle, entry.id, SECRET)
        assert record.entry(handle, opened).latents.tobytes() == entry.latents.tobytes()


@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("half", [0, 1])
def test_a_torn_slot_costs_the_last_change_at_most(make, tmp_path, count, half):
    entry = make(0)
    with written(tmp_path, entry) as handle:
        hits(handle, entry, count)
        opened = record.opened(handle, entry.id, SECRET)
        size = (opened.size - opened.slots) // 2
        os.pwrite(handle, b"torn", opened.slots + half * size + 9)
        assert statistics(handle, entry).hits in (count, count - 1)
        os.pwrite(handle, b"torn", opened.slots + (1 - half) * size + 9)
        assert statistics(handle, entry) == entry.statistics
        hits(handle, entry, 2)
        assert statistics(handle, entry).hits == 2


def test_statistics_of_the_latest_use():
    made = Statistics.new(10.0, 5.0)
    used = made.hit(30.0, 2.0).hit(20.0, 1.5)
    assert used == Statistics(10.0, 5.0, 30.0, hits=2, saved=3.5)
