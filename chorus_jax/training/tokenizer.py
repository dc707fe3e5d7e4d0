"""A tokenizer of whole words, in the layout that transformers reads.

Like T5's: padding has id 0, every text ends with `</s>`, unknown words are `<unk>`.
"""

from collections.abc import Sequence
from pathlib import Path

from chorus_jax.checkpoints import aside
from chorus_jax.text.cleaning import clean
from chorus_jax.text.prompts import Tokenizer

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"


def vocabulary_size(words: Sequence[str]) -> int:
    """The number of token ids needed for these words."""
    return len(words) + 3


def write_tokenizer(folder: Path, words: Sequence[str], limit: int) -> None:
    """Writes the tokenizer of these words, for `text.prompts.Tokenizer`."""
    # Imported here: it takes a second, and most of the training does not need it.
    from tokenizers import Tokenizer as Rules
    from tokenizers import models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {word: i for i, word in enumerate([PAD, END, UNKNOWN, *words])}
    rules = Rules(models.WordLevel(ids, unk_token=UNKNOWN))
    rules.normalizer = normalizers.Lowercase()
    rules.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(behavior="removed"),
        ]
    )
    rules.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, ids[END])]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=rules,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        model_max_length=limit,
    )
    wrapped.save_pretrained(str(folder))


def make_tokenizer(folder: Path, words: Sequence[str], limit: int) -> Tokenizer:
    """The tokenizer in the folder, which is written first if there is none."""
    if not folder.exists():
        with aside(folder) as partial:
            write_tokenizer(partial, words, limit)
    return Tokenizer.load(folder, limit, clean=clean)
