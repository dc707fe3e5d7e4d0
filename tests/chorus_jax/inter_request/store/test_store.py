"""The store: admission, look-up, restarts, deletion, and namespaces."""

import os
import stat

import numpy as np
import pytest

from chorus_jax.inter_request.store import Recipe, Secret, Store, tiers
from chorus_jax.inter_request.store.disk import DiskTier
from chorus_jax.inter_request.store.record import packed


class Seen:
    """A watcher that refuses what an index would refuse."""

    def __init__(self):
        self.ids, self.embeddings = set(), {}

    def admitted(self, head):
        assert head.id not in self.ids
        assert not hasattr(head, "latents")
        self.ids.add(head.id)
        self.embeddings[head.id] = head.embedding

    def removed(self, id):
        self.ids.remove(id)


@pytest.fixture(params=["memory", "disk", "both"])
def store(request, open_store):
    if request.param == "memory":
        with Store(2**24) as store:
            yield store
    else:
        yield open_store(0 if request.param == "disk" else 2**24)


def test_round_trip(store, make, same):
    entries = [make(i, prompt="asked for" if i == 1 else None) for i in range(3)]
    for entry in entries:
        assert store.admit(entry)
    assert len(store) == 3
    for entry in entries:
        assert same(store.get(entry.id, "us"), entry)
        assert store.find(entry.exact, "us") == entry.id
        head = store.head(entry.id, "us")
        assert head.words == entry.words
        np.testing.assert_array_equal(head.meanings, entry.meanings)
        assert not hasattr(head, "latents")
    assert store.get(make(9).id, "us") is None
    assert store.get("../secret", "us") is None
    assert store.find(make(9).exact, "us") is None


def test_what_was_admitted_is_nobody_elses(store, make, same):
    entry = make(1)
    store.admit(entry)
    entry.latents[:] = 0
    found = store.get(entry.id, "us")
    assert same(found, make(1))
    with pytest.raises(ValueError, match="read-only"):
        found.latents[0] = 1


def test_a_restart_finds_everything(open_store, make, same):
    entries = [make(i, namespace=f"n{i % 2}") for i in range(5)]
    with open_store() as store:
        for entry in entries:
            store.admit(entry)
        store.hit(entries[3].id)
        store.hit(entries[3].id)
        used = store.head(entries[3].id, "n1").last_used
    with open_store() as store:
        headers = sum(entry.head.nbytes for entry in entries)
        assert (len(store), store.memory_used) == (5, headers)
        for entry in entries:
            assert same(store.get(entry.id, entry.namespace), entry)
        found = store.get(entries[3].id, "n1").last_used
        assert found == store.head(entries[3].id, "n1").last_used
        assert found == pytest.approx(used, abs=1e-3) and found > 1e9
        assert store.find(entries[4].exact, "n0") == entries[4].id
        rows = {h.id: (h.embedding.tobytes(), h.namespace, h.recipe) for h in store}
        assert rows == {
            e.id: (e.embedding.tobytes(), e.namespace, e.recipe) for e in entries
        }


def test_a_folder_has_no_file_that_all_records_need(open_store, make, tmp_path):
    """Without a secret that is kept elsewhere there is none to lose."""
    with open_store() as store:
        exact, words = store.secret.exact("r", "a cat", 1), store.secret.for_words
        store.admit(make(1))
    names = {path.name for path in (tmp_path / "s").iterdir()}
    assert names == {f"{make(1).id}.record", "lock"}
    with open_store(folder=tmp_path / "other") as store:
        assert store.secret.exact("r", "a cat", 1) == exact
        assert store.secret.for_words == words


def test_a_secret_that_is_kept_elsewhere(open_store, make, same, tmp_path, caplog):
    secret = bytes(range(32))
    with open_store(secret=secret) as store:
        store.admit(make(1))
    held = b"".join(path.read_bytes() for path in (tmp_path / "s").iterdir())
    assert secret not in held and secret.hex().encode() not in held
    for wrong in (bytes(32), None):
        with open_store(secret=wrong, disk_bytes=0) as store:
            assert store.get(make(1).id, "us") is None and store.unknown == 1
        assert "of another secret" in caplog.text
        caplog.clear()
    assert same(open_store(secret=secret).get(make(1).id, "us"), make(1))


def test_files_are_for_their_owner_only(open_store, make, tmp_path):
    old = os.umask(0)
    try:
        open_store().admit(make(1))
    finally:
        os.umask(old)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "s").iterdir()}
    names = (f"{make(1).id}.record", "lock")
    assert modes == dict.fromkeys(names, 0o600)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700


PROMPT = "a zebra gallops along the quay at midnight"
NEGATIVE = "blurred extremities"


@pytest.mark.parametrize("asked", [False, True])
def test_prompts_are_in_clear_only_if_asked_for(
    open_store, make, word_keys, tmp_path, asked
):
    recipe = Recipe(
        vae="v",
        transformer="t",
        text_encoder="e",
        dtype="float32",
        solver="euler",
        sigmas=(1.0, 0.5),
        timesteps=(1000.0, 500.0),
        shift=3.0,
        guidance_scale=5.0,
        negative_prompt=NEGATIVE,
        frames=8,
        height=32,
        width=48,
    )
    store = open_store()
    words = PROMPT.split()
    meanings = np.random.default_rng(0).normal(size=(len(words), 4)).astype(np.float16)
    entry = make(
        1,
        recipe=recipe.digest,
        exact=store.secret.exact(recipe.digest, PROMPT, 1),
        words=word_keys(PROMPT, store.secret.for_words),
        meanings=meanings,
        prompt=PROMPT if asked else None,
    )
    store.admit(entry)
    store.hit(entry.id)
    held = b"".join(
        p.name.encode() + p.read_bytes() for p in (tmp_path / "s").iterdir()
    )
    assert (PROMPT.encode() in held) == asked
    found = [word for word in words if len(word) > 4 and word.encode() in held]
    assert bool(found) == asked
    assert NEGATIVE.encode() not in held
    assert store.secret.for_words not in held
    np.testing.assert_array_equal(store.get(entry.id, "us").meanings, meanings)


def test_namespaces_see_their_own_and_what_is_shared(store, make):
    own, shared = make(1), make(2, shared=True, exact=make(1).exact)
    theirs = make(3, namespace="them", exact=make(1).exact)
    for entry in (own, theirs):
        store.admit(entry)
    for ask in (store.get, store.head):
        assert ask(own.id, "us").id == own.id
        assert ask(own.id, "them") is None
        assert ask(own.id, "") is None
        assert ask(theirs.id, "us") is None
    assert store.find(own.exact, "us") == own.id
    assert store.find(own.exact, "them") == theirs.id
    assert store.find(own.exact, "others") is None
    store.prefetch(own.id, "them")
    store.admit(shared)
    assert store.get(shared.id, "others").id == shared.id
    assert store.find(own.exact, "others") == shared.id
    assert store.find(own.exact, "them") == theirs.id, "its own goes first"


def test_a_repeat_of_the_exact_request_replaces_it(store, make):
    watcher = Seen()
    store.watch(watcher)
    store.admit(make(1))
    store.admit(make(2, namespace="them", exact=make(1).exact))
    store.admit(make(3, exact=make(1).exact))
    assert store.find(make(1).exact, "us") == make(3).id
    assert store.get(make(1).id, "us") is None
    assert watcher.ids == {make(2).id, make(3).id}


@pytest.mark.parametrize("first", [{"own": True}, {"recipe": "cd" * 32}], ids=str)
def test_what_may_serve_other_requests_than_its_repeat_stays(store, make, first):
    """A repeat from another namespace's source serves no request with `own_only`, and
    one of another recipe (other images) none of the first."""
    store.admit(make(1, **first))
    store.admit(make(2, exact=make(1).exact, own=not first.get("own")))
    assert {head.id for head in store} == {make(1).id, make(2).id}


def deletions(store, make):
    yield store.delete(make(0).id), True, {0}
    yield store.delete(make(0).id), False, set()
    yield store.delete_namespace("n1"), 3, {1, 4, 7}
    yield store.delete_namespace("n9"), 0, set()


def test_deletions(open_store, make, tmp_path):
    store, watcher = open_store(clock=lambda: 204.5), Seen()
    store.watch(watcher)
    for i in range(9):
        store.admit(make(i, namespace=f"n{i % 3}", shared=i == 4))
    left = set(range(9))
    for answer, wanted, gone in deletions(store, make):
        assert answer == wanted
        left -= gone
        ids = {make(i).id for i in left}
        assert watcher.ids == ids
        names = {p.stem for p in (tmp_path / "s").glob("*.record")}
        assert names == ids
        assert {i for i in range(9) if store.get(make(i).id, f"n{i % 3}")} == left
    with open_store() as again:
        assert {head.id for head in again} == {make(i).id for i in left}


def test_budgets_and_what_goes_first(open_store, make, same):
    now = [1000.0]
    size, header = make(0).nbytes, make(0).head.nbytes
    disk = 4 * len(packed(make(0), Secret(bytes(32)))) - 1
    store = open_store(2 * size + header, disk_bytes=disk, clock=lambda: now[0])
    watcher = Seen()
    store.watch(watcher)
    for i in range(3):
        store.admit(make(i))
    now[0] += 1
    store.hit(make(0).id)
    store.admit(make(3))
    assert watcher.ids == {make(i).id for i in (0, 2, 3)}
    assert store.memory_used == 2 * size + header
    assert store.disk_used <= disk
    assert same(store.get(make(2).id, "us"), make(2))


@pytest.mark.parametrize("memory, disk", [(0, 9), (3, 0), (3, 9), (9, 3)])
def test_budgets_hold_at_all_times(open_store, make, tmp_path, memory, disk):
    size, record = make(0).nbytes, len(packed(make(0), Secret(bytes(32))))
    store = open_store(memory * size, disk_bytes=disk * record)
    watcher = Seen()
    store.watch(watcher)
    for i in range(20):
        store.admit(make(i))
        store.get(make(max(0, i - 5)).id, "us")
        records = list((tmp_path / "s").glob("*.record"))
        assert sum(p.stat().st_size for p in records) == store.disk_used
        headers = len(records) * make(0).head.nbytes
        assert store.memory_used <= max(memory * size, headers)
        assert store.disk_used <= disk * record
        assert len(store) == len(watcher.ids) >= min(max(memory, disk), i + 1)
        for id in watcher.ids:
            assert store.get(id, "us").id == id


def test_headers_of_what_is_on_disk_are_in_the_memory_budget(open_store, make):
    header, size = make(0).head.nbytes, make(0).nbytes
    store = open_store(5 * header + size, disk_bytes=2**24)
    for i in range(5):
        store.admit(make(i))
    # Five headers, the latents of those of them that there is room for.
    latents = size - header
    assert store.memory_used == 5 * header + (size // latents) * latents
    for i in range(5, 9):
        store.admit(make(i))
        assert store.memory_used <= max(5 * header + size, len(store) * header)
    assert len(store) == 9, "64 MiB of headers are allowed in any case"


def test_headers_beyond_the_memory_budget_evict_from_the_disk(
    open_store, make, monkeypatch, tmp_path
):
    header = make(0).head.nbytes
    monkeypatch.setattr(tiers, "HEADERS", 6 * header)
    store = open_store(0, disk_bytes=2**24)
    store.admit(make(99, namespace="them"))
    for i in range(20):  # however small, one tenant's do not evict another's
        store.admit(make(i, side=1))
        assert store.memory_used <= 6 * header
    assert {head.namespace for head in store} == {"us", "them"}
    names = {path.stem for path in (tmp_path / "s").glob("*.record")}
    assert names == {head.id for head in store}
    store.close()
    # What only reads a folder evicts nothing from it.
    monkeypatch.setattr(tiers, "HEADERS", 1)
    assert len(open_store(0, disk_bytes=2**24)) == 6


def test_a_copy_takes_no_place_of_what_is_in_memory_only(open_store, make, monkeypatch):
    """The disk is full for the second entry; looking up the first one keeps it."""
    header = make(0).head.nbytes
    store = open_store(make(0).nbytes + header, disk_bytes=2**24)
    store.admit(make(0))
    full = lambda *_: (_ for _ in ()).throw(OSError("no space left"))
    monkeypatch.setattr(DiskTier, "write", full)
    store.admit(make(1))
    assert store.get(make(0).id, "us").id == make(0).id
    assert store.get(make(1).id, "us").id == make(1).id
    assert len(store) == 2


def test_an_entry_that_fits_nowhere_is_refused(open_store, make):
    record = len(packed(make(0), Secret(bytes(32))))
    store = open_store(make(0).nbytes - 1, disk_bytes=record - 1)
    store.admit(make(1, side=2))
    assert not store.admit(make(0))
    assert len(store) == 1


def test_a_smaller_budget_after_a_restart(open_store, make):
    with open_store() as store:
        for i in range(6):
            store.admit(make(i))
        size = store.disk_used // 6
    with open_store(disk_bytes=2 * size + size // 2) as store:
        assert {head.id for head in store} == {make(4).id, make(5).id}
    with open_store(disk_bytes=0) as store:
        assert len(store) == store.disk_used == store.memory_used == 0
    with pytest.raises(ValueError, match="budgets are bytes, 0 or more"):
        open_store(-1)


def test_folder_and_budget_go_together(tmp_path):
    for wrong in ({"folder": tmp_path}, {"disk_bytes": 5}):
        with pytest.raises(ValueError, match="a folder and its budget go together"):
            Store(2**20, **wrong)
    with pytest.raises(ValueError, match="budgets are bytes, 0 or more"):
        Store(-1)


def test_a_folder_that_cannot_be_made(open_store, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot keep entries in .*choose a folder"):
        open_store(folder=tmp_path / "file" / "s")


def test_prefetch_brings_to_memory(open_store, make, same):
    with open_store() as store:
        store.admit(make(1))
    with open_store() as store:
        store.prefetch(make(1).id, "us")
        store._loads.close()
        assert store.memory_used == make(1).nbytes
        (path,) = store._tiers.disk.folder.path.glob("*.record")
        path.write_bytes(bytes(path.stat().st_size))
        assert same(store.get(make(1).id, "us"), make(1)), "not read again"


def test_a_watcher_learns_of_what_is_here_already(open_store, make):
    with open_store() as store:
        for i in range(3):
            store.admit(make(i))
    store, watcher = open_store(), Seen()
    store.watch(watcher)
    assert {id: e.tobytes() for id, e in watcher.embeddings.items()} == {
        make(i).id: make(i).embedding.tobytes() for i in range(3)
    }


def test_a_hit_on_what_is_gone_is_no_error(store, make):
    store.hit(make(1).id)
    store.admit(make(1))
    store.hit(make(1).id)
    used = store.get(make(1).id, "us")
    assert used.last_used > 1e9 and used.created == make(1).created


def test_what_is_deleted_while_it_is_loaded_stays_deleted(
    open_store, make, monkeypatch
):
    with open_store() as store:
        store.admit(make(1))
    store = open_store()
    true = store._tiers.disk.load

    def load(id):
        loaded = true(id)
        assert store.delete(id)
        return loaded

    monkeypatch.setattr(store._tiers.disk, "load", load)
    assert store.get(make(1).id, "us") is None
    assert len(store) == store.memory_used == 0
