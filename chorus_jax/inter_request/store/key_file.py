"""The files of a store's secret, beside its records.

There are two that are alike, so that damage to one loses nothing: no record is of use
without the secret. Each is a line with the checksum, then JSON: the secret, null if it
is kept elsewhere, and its fingerprint.
"""

import hashlib
import json
import logging
import secrets
from pathlib import Path

from chorus_jax.inter_request.store.folder import Folder, plain_bytes
from chorus_jax.inter_request.store.secret import Secret

NAMES = ("secret", "secret.copy")

log = logging.getLogger(__name__)


def open_secret(folder: Folder, given: bytes | None, records: int) -> Secret:
    """The secret of the folder: the given one, or the one in its files.

    A file that is damaged or gone is written again from the other. Without either the
    given secret is taken, or, if there are no records yet, a new one. ValueError if
    there are, if the files differ, or if the folder is of another secret than the one
    given, or of one that is not in it and not given; nothing is changed then. Only
    while the folder's lock is held.
    """
    texts = {name: _read(folder.path / name) for name in NAMES}
    complete = {text for text in texts.values() if text is not None}
    if len(complete) > 1:
        raise ValueError(
            f"{' and '.join(NAMES)} in {folder.path} are whole, and differ: remove the "
            "one that was not made there"
        )
    if not complete:
        return _begin(folder, given, records)
    [text] = complete
    secret = _told(folder, given, text)
    for name in (name for name in NAMES if texts[name] is None):
        try:
            _write(folder, name, text)
        except OSError as error:
            log.warning("cannot write %s again: %s", folder.path / name, error)
    return secret


def _begin(folder: Folder, given: bytes | None, records: int) -> Secret:
    if records and given is None:
        raise ValueError(
            f"{' and '.join(NAMES)} in {folder.path} are damaged or gone, and without "
            f"one its {records} records are of no use: put one back from a backup, "
            "give the secret itself, or remove the folder to begin anew"
        )
    secret = Secret(given or secrets.token_bytes(32))
    value = secret.value.hex() if given is None else None
    text = json.dumps({"secret": value, "fingerprint": secret.fingerprint}).encode()
    for name in NAMES:
        _write(folder, name, text)
    return secret


def _told(folder: Folder, given: bytes | None, text: bytes) -> Secret:
    content = json.loads(text)
    value = given or bytes.fromhex(content["secret"] or "")
    if not value or Secret(value).fingerprint != content["fingerprint"]:
        raise ValueError(
            f"the store in {folder.path} is of another secret than the one given: give "
            "the one that it was made with, or choose an empty folder"
        )
    return Secret(value)


def _read(path: Path) -> bytes | None:
    """The JSON text, None if there is no whole one."""
    try:
        check, _, text = plain_bytes(path).partition(b"\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("cannot read %s: %s", path, error)
        return None
    if check != _check(text):
        log.warning("%s is damaged", path)
        return None
    return text


def _write(folder: Folder, name: str, text: bytes) -> None:
    folder.write(name, [_check(text), b"\n", text])


def _check(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).hexdigest().encode()
