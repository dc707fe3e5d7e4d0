"""The rules of a tokenizer, read from the folder that transformers keeps it in."""

import json
import os
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Rules

# Rules that stand there are taken as they are: classes of transformers would build them
# anew from the vocabulary, and that of T5 leaves the bytes out that stand for unknown
# characters.
RULES = "tokenizer.json"


def read_rules(folder: str | Path) -> tuple[Rules, str]:
    """The rules and the padding token of a local folder. ValueError if it has none."""
    # A name that is no folder would be looked up in transformers' download cache.
    if not Path(folder).is_dir():
        raise ValueError(f"{folder} is no folder: expected one with a tokenizer")
    try:
        settings = json.loads((Path(folder) / "tokenizer_config.json").read_text())
        if (Path(folder) / RULES).is_file() and "pad_token" in settings:
            rules, pad = stored(folder), settings["pad_token"]
            # Older files write a token with its properties.
            pad = pad.get("content") if isinstance(pad, dict) else pad
        else:
            rules, pad = built(folder)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{folder} holds no tokenizer that transformers can read (expected "
            f"tokenizer.json and tokenizer_config.json): {error}"
        ) from error
    if not isinstance(pad, str) or rules.token_to_id(pad) is None:
        raise ValueError(f"the tokenizer in {folder} has no padding token: {pad!r}")
    return rules, pad


def stored(folder: str | Path) -> Rules:
    """The rules in tokenizer.json. ValueError if there are none."""
    file = Path(folder) / RULES
    text = file.read_text()
    try:
        return Rules.from_str(text)
    except Exception as error:  # The library raises no narrower class.
        raise ValueError(f"{file} is damaged: {error}") from error


def built(folder: str | Path) -> tuple[Rules, Any]:
    """The rules and the padding token as transformers builds them."""
    # It would advise to install PyTorch, which a tokenizer has no use for.
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False
    )
    if not tokenizer.is_fast:
        raise ValueError(
            f"{type(tokenizer).__name__} does not tell where its tokens are in the "
            "text: convert it to one with a tokenizer.json"
        )
    return tokenizer.backend_tokenizer, tokenizer.pad_token
