"""The key of a store's digests: what of a prompt may be kept without the prompt itself.

Whoever has the key can try prompts and words out. It is public unless one is given to
the store, which then must be kept elsewhere: it is in no file of the store.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass, field

SIZES = range(16, 65)
PUBLIC = b"a chorus store without a secret."


@dataclass(frozen=True)
class Secret:
    """The key of a store, and the digests made with it.

    Attributes:
        value: 16 to 64 random bytes.

    Raises:
        ValueError: for another number of bytes.
    """

    value: bytes = field(default=PUBLIC, repr=False)

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

    def exact(self, recipe: str, prompt: str, seed: int, region: str = "") -> str:
        """The digest of a whole request: its recipe's, its prompt, its seed, and that
        of the region it came with, if it did."""
        described = json.dumps([recipe, prompt, seed] + [region] * bool(region))
        return self._keyed("exact", described.encode()).hex()

    def _keyed(self, purpose: str, data: bytes) -> bytes:
        text = f"chorus {purpose}\n".encode() + data
        return hmac.new(self.value, text, hashlib.sha256).digest()
