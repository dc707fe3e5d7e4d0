"""The file of a store's secret, beside its records.

A line with the checksum, then JSON: the secret, null if it is kept elsewhere, and its
fingerprint.
"""

import hashlib
import json
import logging
import secrets

from chorus_jax.inter_request.store.folder import Folder
from chorus_jax.inter_request.store.secret import Secret

NAME = "secret"

log = logging.getLogger(__name__)


def open_secret(folder: Folder, given: bytes | None) -> Secret:
    """The secret of the folder: the given one, or the one in its file.

    A folder without a file, or with a damaged one, which is logged, gets a new one.
    ValueError if the folder is of another secret than the one given, or of one that is
    not in it and not given. Only while the folder's lock is held.
    """
    told = _read(folder)
    if told is None:
        secret = Secret(given or secrets.token_bytes(32))
        folder.write(NAME, [_text(secret, kept=given is None)])
        return secret
    value = given or bytes.fromhex(told["secret"] or "")
    if not value or Secret(value).fingerprint != told["fingerprint"]:
        raise ValueError(
            f"the store in {folder.path} is of another secret than the one given: give "
            "the one that it was made with, or choose an empty folder"
        )
    return Secret(value)


def _read(folder: Folder) -> dict | None:
    path = folder.path / NAME
    try:
        check, _, text = path.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    if check != _check(text):
        log.warning("%s is damaged: a new secret; earlier records are dropped", path)
        return None
    return json.loads(text)


def _text(secret: Secret, kept: bool) -> bytes:
    value = secret.value.hex() if kept else None
    told = {"secret": value, "fingerprint": secret.fingerprint}
    text = json.dumps(told).encode()
    return _check(text) + b"\n" + text


def _check(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).hexdigest().encode()
