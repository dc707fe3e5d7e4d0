"""Verified parts are not hashed again while their files are unchanged; others are."""

import os
import shutil

import pytest
from flax import nnx

from chorus_jax import checkpoints
from chorus_jax.checkpoints import reading, verified
from tests.chorus_jax.checkpoints.test_models import Net, Sizes, edit, equal


@pytest.fixture
def net():
    return Net(Sizes(), rngs=nnx.Rngs(0))


@pytest.fixture
def saved(net, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(verified, "SETTLED", 0.0)
    checkpoints.save(tmp_path / "m", {"net": net}, family="toy")
    return tmp_path / "m"


@pytest.fixture
def load(saved, monkeypatch):
    """A function: loads, and says whether digests were taken."""
    untaken, made = reading.Untaken.hexdigest, []
    monkeypatch.setattr(
        reading.Untaken, "hexdigest", lambda one: made.append(1) or untaken(one)
    )

    def load(**options):
        made.clear()
        return checkpoints.load(saved, "net", Net, Sizes, **options), not made

    return load


def block(saved):
    """A file with weights: zarr names blocks by their numbers."""
    return next(p for p in sorted((saved / "net").rglob("*")) if p.name[0].isdigit())


def test_a_second_load_takes_no_digests_unless_asked_to(load, net):
    for options, taken in (({}, True), ({}, False), ({"verify": True}, True)):
        loaded, hashed = load(**options)
        equal(loaded, net)
        assert hashed == taken


def flipped(path):
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def test_a_changed_file_is_hashed_anew(load, saved):
    load()
    flipped(block(saved))
    with pytest.raises(ValueError, match="not what its card describes"):
        load()


def test_a_time_that_was_set_back_hides_no_change(load, saved):
    load()
    path = block(saved)
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    flipped(path)
    os.utime(path, ns=times)
    with pytest.raises(ValueError, match="not what its card describes"):
        load()


def test_other_weights_in_its_place_are_hashed_anew(load, saved, net, tmp_path):
    load()
    shutil.copytree(saved / "net", tmp_path / "copy")
    shutil.rmtree(saved / "net")
    (tmp_path / "copy").rename(saved / "net")
    loaded, hashed = load()
    equal(loaded, net)
    assert hashed


def test_a_config_that_was_changed_in_the_card_is_noticed(load, saved):
    load()
    edit(saved, lambda card: card["parts"]["net"]["config"].update(patch=[2, 2]))
    with pytest.raises(ValueError, match="not what its card describes"):
        load()


def test_files_of_just_now_are_not_remembered(load, saved, monkeypatch):
    """They may change again within a tick of the clock."""
    monkeypatch.setattr(verified, "SETTLED", 60.0)
    assert load()[1] and load()[1]


@pytest.mark.parametrize("mode", [0o666, 0o620])
def test_a_memory_that_others_may_write_is_left_aside(load, saved, mode, caplog):
    load()
    path = verified.memory_file(saved / "net")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(mode)
    assert load()[1] and "others may write" in caplog.text


def test_a_memory_that_lies_is_of_no_use(load, saved):
    load()
    verified.memory_file(saved / "net").write_text("0" * 64)
    assert load()[1]


def test_a_link_among_the_files_is_not_remembered(load, saved, tmp_path):
    path = block(saved)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert load()[1] and load()[1]


def test_without_a_folder_for_it_each_load_takes_digests(load, saved, monkeypatch):
    (saved.parent / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(saved.parent / "file"))
    assert load()[1] and load()[1]
