"""The secret of a store: what of a prompt may be kept without the prompt itself.

Whoever has the secret can try prompts and words out. It lies in the store's folder,
readable by its owner only; give one to the store to keep it elsewhere.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass, field

import numpy as np

SIZES = range(16, 65)


@dataclass(frozen=True)
class Secret:
    """The key of a store, and the digests made with it.

    Attributes:
        value: 16 to 64 random bytes.

    Raises:
        ValueError: for another number of bytes.
    """

    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) not in SIZES:
            raise ValueError(
                f"a secret has 16 to 64 random bytes, got {len(self.value)}; make one "
                "with secrets.token_bytes(32)"
            )

    @property
    def fingerprint(self) -> str:
        """Tells secrets apart and nothing about them."""
        return self._keyed("fingerprint", b"").hex()[:16]

    @property
    def for_words(self) -> bytes:
        """The secret for `word_keys`."""
        return self._keyed("words", b"")

    def exact(self, recipe: str, prompt: str, seed: int, reuse: str = "") -> str:
        """The digest of a whole request: its recipe's, its prompt, its seed, and that
        of what its reuse depends on: its region and, of a hit, the policy."""
        described = json.dumps([recipe, prompt, seed] + [reuse] * bool(reuse))
        return self._keyed("exact", described.encode()).hex()

    def sealed(self, data: bytes, nonce: str) -> bytes:
        """The data as only the secret reads it; sealing again opens it.

        A nonce is for one data only. It hides, and does not protect from change.
        """
        key = self._keyed("seal", nonce.encode())
        stream = hashlib.shake_256(key).digest(len(data))
        return (np.frombuffer(data, "u1") ^ np.frombuffer(stream, "u1")).tobytes()

    def _keyed(self, purpose: str, data: bytes) -> bytes:
        text = f"chorus {purpose}\n".encode() + data
        return hmac.new(self.value, text, hashlib.sha256).digest()
