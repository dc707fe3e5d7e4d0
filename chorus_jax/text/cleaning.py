"""Repairs prompts, as Wan's makers do before they are tokenised.

Source: diffusers' WanPipeline (pipelines/wan/pipeline_wan.py, prompt_clean).
"""

import html
import re

# Characters of a prompt that are repaired, several times what a model reads. Repairing
# a million short lines takes half a minute.
REPAIRED = 2**14


def clean(prompt: str) -> str:
    """A prompt with repaired text encoding and HTML entities, and with single blanks
    between words.

    Beyond the first `REPAIRED` characters, only blanks are changed.
    """
    text, rest = prompt[:REPAIRED], prompt[REPAIRED:]
    # Printable ASCII without entities has nothing to repair, and needs no ftfy.
    if not (text.isascii() and text.isprintable()) or "&" in text:
        import ftfy

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return re.sub(r"\s+", " ", (text + rest).strip()).strip()
