"""The persistent compilation cache: a program compiled once is read back from disk."""

import logging
import os
from pathlib import Path

import jax

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """The folder of compiled programs, unless JAX_COMPILATION_CACHE_DIR names
    another."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "chorus_jax" / "compiled"


def enable_cache() -> str | None:
    """Turns the cache on in `cache_folder`, unless jax has been given a place already.

    Returns the place; None, with a warning in the log, if it cannot be written.
    """
    given = getattr(jax.config, "jax_compilation_cache_dir")
    if given:
        # It may be a bucket, and its other settings are the user's too.
        return given
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".writable").touch()
    except OSError as error:
        log.warning("programs are compiled anew in every process: %s", error)
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # A run has many small programs beside the large one; together they are seconds.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    return str(folder)
