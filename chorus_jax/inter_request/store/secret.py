"""The secret key of a store's digests of prompts, words and recipes.

Anyone who has the key can test guessed prompts, words and settings against the digests.
A store without a secret of its own uses a public key. No file of the store holds the
secret, so it must be kept elsewhere.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass, field

SIZES = range(16, 65)
PUBLIC = b"a chorus store without a secret."


@dataclass(frozen=True)
class Secret:
    """The secret key of a store; computes keyed digests.

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
        """A digest that identifies the secret without revealing it."""
        return self._keyed("fingerprint", b"").hex()[:16]

    @property
    def for_words(self) -> bytes:
        """The secret for `word_keys`."""
        return self._keyed("words", b"")

    def recipe(self, digest: str) -> str:
        """The keyed digest, in hex, of the recipe with this digest."""
        return self._keyed("recipe", digest.encode()).hex()

    def exact(self, recipe: str, prompt: str, seed: int, region: str = "") -> str:
        """The digest of a whole request, in hex.

        Args:
            recipe: the recipe's digest.
            prompt: the prompt.
            seed: the seed.
            region: the digest of the region that the request came with, if any.
        """
        described = json.dumps([recipe, prompt, seed] + [region] * bool(region))
        return self._keyed("exact", described.encode()).hex()

    def _keyed(self, purpose: str, data: bytes) -> bytes:
        text = f"chorus {purpose}\n".encode() + data
        return hmac.new(self.value, text, hashlib.sha256).digest()
