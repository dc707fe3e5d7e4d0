"""Reads a tokenizer from a folder in the layout of transformers."""

import os
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Rules

from chorus_jax import json_file

# Rules in this file are used unchanged: transformers' classes would rebuild them
# from the vocabulary, and T5's class omits the bytes that stand for unknown characters.
RULES = "tokenizer.json"


def read_rules(folder: str | Path) -> tuple[Rules, str]:
    """The rules and the padding token of a local folder. Raises a ValueError if it has
    none."""
    # transformers would look up a name that is no folder in its download cache.
    if not Path(folder).is_dir():
        raise ValueError(f"{folder} is no folder: expected one with a tokenizer")
    try:
        settings = json_file.read(Path(folder) / "tokenizer_config.json")
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
    """The rules in tokenizer.json. Raises a ValueError if there are none."""
    file = Path(folder) / RULES
    text = json_file.text_of(file)
    try:
        return Rules.from_str(text)
    except Exception as error:  # The library raises no narrower class.
        raise ValueError(f"{file} is damaged: {error}") from error


def built(folder: str | Path) -> tuple[Rules, Any]:
    """The rules and the padding token of the tokenizer that transformers builds."""
    # Without this, transformers advises to install PyTorch, which is not needed here.
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
