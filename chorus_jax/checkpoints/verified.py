"""Remembers parts of checkpoints whose digests were verified, to load them faster.

A part need not be verified again while its files are unchanged. For each part, a file
in the user's cache folder has a digest of its entry in the card and of each of its
files' size, modification and change times, inode and device. This relies on the inode
change time, which no system call can set back. The file is used only if it belongs to
this user and nobody else may write to it; anyone who may write to that folder could as
well replace the compiled programs beside it.
"""

import hashlib
import json
import logging
import os
import stat
import time
from pathlib import Path

from chorus_jax.checkpoints.card import Part

# Seconds: files that changed more recently might change again without a new time.
SETTLED = 2.0

log = logging.getLogger(__name__)


def state_of(folder: Path, part: Part) -> str | None:
    """A digest of a part's entry in the card and of the present state of its files.

    None if there are no files, if one changed a moment ago, or if one is not a regular
    file.
    """
    files, newest = [], 0.0
    for at, _, names in sorted(os.walk(folder.absolute())):
        for name in sorted(names):
            path = os.path.join(at, name)
            file = os.stat(path, follow_symlinks=False)
            if not stat.S_ISREG(file.st_mode):
                return None
            newest = max(newest, file.st_ctime, file.st_mtime)
            times = (file.st_mtime_ns, file.st_ctime_ns)
            files.append((path, file.st_size, *times, file.st_ino, file.st_dev))
    if not files or newest > time.time() - SETTLED:
        return None
    text = json.dumps([part.model, part.config, part.dtype, part.fingerprint, files])
    return hashlib.sha256(text.encode()).hexdigest()


def is_known(folder: Path, part: Part) -> bool:
    """Whether the weights were verified and their files have not changed since."""
    try:
        handle = os.open(memory_file(folder), os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    with open(handle) as file:
        status = os.fstat(handle)
        if status.st_uid != os.getuid() or status.st_mode & 0o022:
            log.warning("left %s aside: others may write to it", memory_file(folder))
            return False
        state = state_of(folder, part)
        return state is not None and file.read() == state


def remember(folder: Path, part: Part, before: str | None) -> None:
    """Notes that the weights were verified, if the files' state is still `before`."""
    if before is None or before != state_of(folder, part):
        return
    path = memory_file(folder)
    aside = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside.unlink(missing_ok=True)
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w") as file:
            file.write(before)
        aside.replace(path)
    except OSError as error:
        log.info("the next load of %s takes its digests again: %s", folder, error)


def memory_file(folder: Path) -> Path:
    """The file in the cache folder that remembers a part."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()
    return Path(home) / "chorus_jax" / "verified" / name
