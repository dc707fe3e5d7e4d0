"""The persistent compilation cache: a program compiled once is read back from disk."""

import logging
import os
from pathlib import Path

import jax

log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """The default folder of compiled programs; JAX_COMPILATION_CACHE_DIR names
    another."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "chorus_jax" / "compiled"


def programs_folder() -> Path:
    """The folder in which jax keeps compiled programs: `cache_folder` unless it has
    another one set."""
    given = getattr(jax.config, "jax_compilation_cache_dir", None)
    return Path(given) if given else cache_folder()


def enable_cache() -> str | None:
    """Turns jax's compilation cache on, in `cache_folder` unless jax has a folder set.

    Returns:
        The folder; None, with a warning in the log, if it cannot be written.
    """
    given = getattr(jax.config, "jax_compilation_cache_dir")
    if given:
        # It may be a bucket; its other settings are left to the user as well.
        return given
    folder = cache_folder()
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / ".writable").touch()
    except OSError as error:
        log.warning("programs are compiled anew in every process: %s", error)
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # A run has many small programs, which together take seconds to compile.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    return str(folder)
