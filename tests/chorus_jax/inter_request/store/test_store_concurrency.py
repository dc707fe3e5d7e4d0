"""Killed processes, several processes, several threads, and an index in step."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from chorus_jax.inter_request.store import Store

HERE = Path(__file__).parent
ROOM = 2**30
SIDE = 24


ADMITTING = """
import sys
from itertools import count
sys.path.insert(0, sys.argv[1])
from conftest import Store, make_entry
with Store(0, folder=sys.argv[2], disk_bytes=2**30) as store:
    print("open", flush=True)
    for number in count(int(sys.argv[3])):
        entry = make_entry(number, side=int(sys.argv[4]))
        store.admit(entry)
        store.hit(entry.id)
        print(number, flush=True)
"""


def admit_until_killed(folder, first, count, delay) -> Iterator[int]:
    """Kills so many seconds after so many admissions; yields what was admitted."""
    command = [sys.executable, "-c", ADMITTING, *map(str, (HERE, folder, first, SIDE))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open\n"
        for _ in range(count):
            yield int(process.stdout.readline())
        time.sleep(delay)
        process.kill()
        for line in process.stdout:
            if line.endswith("\n"):
                yield int(line)


def kill_often(folder, make, same, rounds):
    """How many kills left a half-written file."""
    safe, first, halves, chance = set(), 0, 0, random.Random(0)
    wanted = cache(lambda number: make(number, side=SIDE))
    for _ in range(rounds):
        count, delay = chance.randrange(4), chance.uniform(0, 0.03)
        safe |= set(admit_until_killed(folder, first, count, delay))
        halves += len(list(folder.glob(".*.partial")))
        with Store(0, folder=folder, disk_bytes=ROOM) as store:
            found = {int(head.id, 16) for head in store}
            assert safe <= found, "what was admitted before is lost"
            for number in found:
                entry = store.get(f"{number:032x}", "us")
                assert same(entry, wanted(number))
                used = entry.last_used > entry.created
                assert used or number not in safe
        assert not list(folder.glob(".*.partial"))
        first = max(found, default=first) + 1
    assert safe
    return halves


def test_kills_lose_nothing(tmp_path, make, same):
    kill_often(tmp_path / "s", make, same, rounds=4)


@pytest.mark.slow
def test_fifty_kills_lose_nothing(tmp_path, make, same):
    assert kill_often(tmp_path / "s", make, same, rounds=50) > 0


BUSY = """
import random, sys, time
sys.path.insert(0, sys.argv[1])
from conftest import Store, is_same, make_entry
folder, first, budget = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
chance = random.Random(first)
with Store(20_000, folder=folder, disk_bytes=budget) as store:
    print("open", flush=True)
    sys.stdin.readline()
    served = 0
    for i in range(first, first + 25):
        store.admit(make_entry(i))
        time.sleep(0.002)  # so that the other one has its turn on a busy machine
        assert store.disk_used <= budget
        for head in list(store):
            number = int(head.id, 16)
            found = store.get(head.id, "us")
            if found is not None:
                assert is_same(found, make_entry(number))
                served += number < first or number >= first + 25
                store.hit(head.id)
            if chance.random() < 0.02:
                store.delete(head.id)
print("served", served, flush=True)
"""


def start_busy(folder, first, budget):
    command = [sys.executable, "-c", BUSY, *map(str, (HERE, folder, first, budget))]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_two_processes_on_one_folder(tmp_path, make, same):
    budget = 50_000
    busy = [start_busy(tmp_path / "s", first, budget) for first in (0, 1000)]
    for process in busy:
        assert process.stdout.readline() == "open\n"
    for process in busy:
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=300) for process in busy]
    for process, (said, complaints) in zip(busy, outputs):
        assert process.returncode == 0, complaints
        assert int(said.split()[1]) > 0, "one never served what the other admitted"
        assert "dropped" not in complaints
    with Store(0, folder=tmp_path / "s", disk_bytes=budget) as store:
        assert len(store) > 3
        assert all(same(store.get(h.id, "us"), make(int(h.id, 16))) for h in store)
        records = (tmp_path / "s").glob("*.record")
        assert sum(path.stat().st_size for path in records) <= budget


def test_what_another_process_does_is_learnt(open_store, make, same, mirror):
    one, two = open_store(), open_store()
    two.watch(mirror)
    one.admit(make(1))
    assert mirror.ids == []
    two.refresh()
    assert mirror.ids == [make(1).id]
    assert same(two.get(make(1).id, "us"), make(1))
    one.delete(make(1).id)
    assert two.get(make(1).id, "us") is None, "in memory, but deleted"
    assert mirror.ids == []
    one.admit(make(2, namespace="them"))
    assert two.delete_namespace("them") == 1
    assert one.get(make(2).id, "them") is None
    one.admit(make(3))
    two.admit(make(4))
    assert set(mirror.ids) == {make(3).id, make(4).id}


def test_eight_threads(open_store, make, same, mirror, eviction):
    store = open_store(90_000, disk_bytes=80_000, eviction=eviction)
    wrong = []
    store.watch(mirror)
    entries = {make(i).id: make(i, namespace=f"n{i % 2}") for i in range(60)}

    def work(seed):
        chance = random.Random(seed)
        try:
            for _ in range(25):
                step(store, chance, entries, same)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    check_in_step(store, mirror)


def step(store, chance, entries, same):
    id = chance.choice(list(entries))
    wanted = entries[id]
    action = chance.random()
    if action < 0.4:
        if store.head(id, wanted.namespace) is None:
            store.admit(wanted)
    elif action < 0.45:
        store.delete(id)
    elif action < 0.5:
        store.prefetch(id, wanted.namespace)
    else:
        found = store.get(id, wanted.namespace)
        if found is not None:
            assert same(found, wanted)
            store.hit(id)
        assert store.get(id, "others") is None


def check_in_step(store, mirror):
    heads = {head.id: head for head in store}
    assert set(mirror.ids) == set(heads)
    assert len(store) == len(heads) > 0
    disk = store._tiers.disk
    items = list(store._tiers.catalogue)
    for item in items:
        if item.entry is not None and item.disk:
            assert item.entry.noises == disk.load(item.id).noises
    assert store.memory_used == sum(item.memory for item in items)
    headers = sum(item.head.nbytes for item in items if item.disk)
    assert store.memory_used <= max(store._tiers.memory_bytes, headers)
    sizes = {p.stem: p.stat().st_size for p in disk.folder.path.glob("*.record")}
    assert sizes == {item.id: item.disk for item in items if item.disk}
    assert store.disk_used == sum(sizes.values()) <= store._tiers.disk_bytes


def run_many(store, make, mirror, count):
    chance = random.Random(1)
    store.watch(mirror)
    for i in range(count):
        store.admit(make(i, side=2))
        if i % 7 == 0 and len(store):
            store.delete(chance.choice(mirror.ids))
        if i % 5 == 0 and len(store):
            store.hit(chance.choice(mirror.ids))
    check_in_step(store, mirror)


def test_an_index_stays_in_step(open_store, make, mirror, eviction):
    store = open_store(50_000, disk_bytes=40_000, eviction=eviction)
    run_many(store, make, mirror, 40)


@pytest.mark.slow
def test_an_index_stays_in_step_over_ten_thousand(open_store, make, mirror, unsynced):
    run_many(open_store(20_000, disk_bytes=300_000), make, mirror, 10_000)
