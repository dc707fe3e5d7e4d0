"""The folder of compiled programs."""

import os
import stat

import jax
import pytest

from chorus_jax.devices.compilation import enable_cache


@pytest.fixture
def unset(monkeypatch, tmp_path):
    """No folder of compiled programs is set; the user's cache folder is `tmp_path`."""
    names = (
        "jax_compilation_cache_dir",
        "jax_persistent_cache_min_compile_time_secs",
    )
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update(names[0], None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    old = os.umask(0o002)
    yield tmp_path / "home" / "chorus_jax"
    os.umask(old)
    for name, value in before.items():
        jax.config.update(name, value)


def test_only_the_owner_may_use_the_folder(unset):
    """Compiled programs are run: who may write there may run code."""
    assert enable_cache() == str(unset / "compiled")
    for folder in (unset, unset / "compiled"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
