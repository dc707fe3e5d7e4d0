"""Prompts to embeddings against diffusers' WanPipeline."""

import json
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler, WanPipeline
from diffusers.pipelines.wan.pipeline_wan import prompt_clean
from transformers import (
    AutoTokenizer,
    GemmaTokenizer,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)

from chorus_jax.nets.t5 import T5Encoder
from chorus_jax.text import prompts as text
from chorus_jax.text.cleaning import clean
from chorus_jax.text.prompts import Conditioning, PromptEncoder, Tokenizer, encode
from chorus_jax.training.tokenizer import write_tokenizer
from convert import t5

LETTERS = [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz&é,"]
PIECES = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *LETTERS]
PIECES += [("▁a", -1.0), ("▁cat", -1.5), ("▁walks", -1.5)]
PROMPTS = [
    "a cat walks",
    "  A cat,\n\twalks &amp;amp; sleeps   ",
    "schÃ¶n ﬁne “quotes” 猫",
    "",
]
# What LTX's makers leave as it is, but for blanks around it.
PLAIN = [" \n“a”  'cat'\n\nwalks\t", "a  &amp; &lt;b&gt;", "schÃ¶n ﬁne\u3000a", ""]
load = partial(Tokenizer.load, clean=clean)


@pytest.fixture(scope="module")
def theirs():
    """diffusers' pipeline with a tokenizer and a text encoder, and nothing else."""
    torch.manual_seed(0)
    encoder = UMT5EncoderModel(
        UMT5Config(
            vocab_size=40, d_model=16, d_kv=8, d_ff=24, num_layers=2, num_heads=2
        )
    ).eval()
    for parameter in encoder.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return WanPipeline(
        tokenizer=T5Tokenizer(vocab=PIECES, extra_ids=0),
        text_encoder=encoder,
        vae=None,
        scheduler=UniPCMultistepScheduler(),
    )


@pytest.fixture(scope="module")
def folder(theirs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    theirs.tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def encoder(theirs, converted):
    model = theirs.text_encoder
    config = t5.config(model.config.to_dict(), "float32")
    return converted(T5Encoder, config, t5.DIFFUSERS, model)


def relative(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def whole(conditioning):
    """The embeddings with all their padding."""
    rows = conditioning.limit - conditioning.embeddings.shape[1]
    return np.pad(conditioning.embeddings, ((0, 0), (0, rows), (0, 0)))


def tokenized(theirs, prompts, limit):
    return theirs.tokenizer(
        [prompt_clean(prompt) for prompt in prompts],
        padding="max_length",
        max_length=limit,
        truncation=True,
        return_tensors="np",
    )


@pytest.mark.parametrize("limit", [512, 70, 8])
def test_ids_and_embeddings_equal_diffusers(limit, theirs, folder, encoder):
    prompts = [*PROMPTS, "a cat walks " * 30]
    tokens = load(folder, limit)(prompts)
    want = tokenized(theirs, prompts, limit)
    np.testing.assert_array_equal(tokens.ids, want["input_ids"])
    np.testing.assert_array_equal(tokens.mask, want["attention_mask"] == 1)
    got = encode(encoder, tokens)
    want, negative = theirs.encode_prompt(
        prompts, [""] * len(prompts), max_sequence_length=limit, device="cpu"
    )
    assert relative(whole(got), want) <= 1e-5
    empty = encode(encoder, tokens.row(3))
    assert relative(whole(empty), negative[:1]) <= 1e-5
    assert got.lengths.tolist() == tokens.mask.sum(1).tolist()
    for row, length in zip(got.embeddings, got.lengths):
        assert not row[length:].any() and row[:length].any(axis=-1).all()


@pytest.fixture(params=["t5", "gemma"])
def stripping(request, theirs, tmp_path):
    """A tokenizer of transformers, padded on the right, and one that only strips."""
    made = theirs.tokenizer
    if request.param == "gemma":
        words = [
            "<pad>",
            "<eos>",
            "<bos>",
            "<unk>",
            *(f"<0x{i:02X}>" for i in range(256)),
        ]
        words += ["▁", "▁▁", "\n", "\n\n", *"abcdefghijklmnopqrstuvwxyz&;"]
        ids = {word: i for i, word in enumerate(words)}
        made = GemmaTokenizer(ids, [("▁", "▁"), ("\n", "\n")], padding_side="right")
    made.save_pretrained(tmp_path)
    return made, partial(Tokenizer.load, tmp_path, clean=str.strip)


@pytest.mark.parametrize("limit", [64, 8])
def test_stripped_prompts_equal_transformers(limit, stripping):
    theirs, load = stripping
    tokens = load(limit)(PLAIN)
    want = theirs(
        [prompt.strip() for prompt in PLAIN],
        padding="max_length",
        max_length=limit,
        truncation=True,
        return_tensors="np",
    )
    np.testing.assert_array_equal(tokens.ids, want["input_ids"])
    np.testing.assert_array_equal(tokens.mask, want["attention_mask"] == 1)


def test_texts_spans_and_cut_are_those_of_the_stripped_prompt(stripping):
    _, load = stripping
    for limit in (64, 8):
        tokens = load(limit)(PLAIN)
        for row, prompt in enumerate(PLAIN):
            stripped, text, cut = prompt.strip(), tokens.texts[row], tokens.cut[row]
            assert stripped.startswith(text) and stripped.endswith(cut)
            assert stripped[len(text) : len(stripped) - len(cut)].strip() == ""
            assert bool(cut) == (limit == 8 and bool(prompt))
            places = {at for span in tokens.spans[row] for at in range(*span)}
            assert not any(text[at].strip() for at in {*range(len(text))} - places)


@pytest.mark.parametrize(
    "prompt, cut",
    [
        ("a cat walks", ""),
        ("a cat walks a cat walks a", ""),
        ("a cat walks a cat walks a cat", "cat"),
        ("a cat walks a cat walks a  b&amp;c  schön", "b&c schön"),
        ("a cat walks a cat walks " + "a " * 30, ("a " * 29).strip()),
    ],
)
def test_cut_is_the_end_of_the_prompt(prompt, cut, folder, caplog):
    tokens = load(folder, 8)(["a", prompt])
    assert tokens.cut == ("", cut)
    assert tokens.ids.shape == (2, 8)
    assert not caplog.records


def pieces(tokens, row, prompt):
    """What the prompt has where the tokens are, less those that are nowhere."""
    found = (prompt[start:end] for start, end in tokens.spans[row].tolist())
    return [piece for piece in found if piece]


def test_spans_are_the_characters_of_the_cleaned_prompt(folder):
    prompts = [*PROMPTS, "e\u0301t 🐱 cat"]
    tokens = load(folder, 24)(prompts)
    assert tokens.spans.shape == (5, 24, 2) and tokens.spans.dtype == np.int32
    cleaned = [clean(prompt) for prompt in prompts]
    assert pieces(tokens, 0, cleaned[0]) == ["a", "cat", "walks"]
    assert pieces(tokens, 2, cleaned[2])[-1] == "猫"
    assert pieces(tokens, 3, cleaned[3]) == []
    assert pieces(tokens, 4, cleaned[4]) == [*"éét🐱🐱", "cat"]
    for row, prompt in enumerate(cleaned):
        # The mark of a word's beginning has the place of its first character.
        places = {at for span in tokens.spans[row] for at in range(*span)}
        assert {prompt[at] for at in set(range(len(prompt))) - places} <= {" "}
        ends = tokens.mask[row].sum() - 1
        assert not tokens.spans[row, ends:].any()
    one = tokens.row(2)
    np.testing.assert_array_equal(one.spans, tokens.spans[2:3])


def test_spans_end_where_the_rest_is_cut(folder):
    prompt = "a cat walks a cat walks a cat"
    tokens = load(folder, 8)([prompt])
    assert tokens.spans[0].max() == len(prompt) - len(" cat")


def test_special_tokens_named_in_a_prompt_are_nowhere(folder):
    tokens = load(folder, 8)(["a</s> <unk> 猫 cat"])
    starts = tokens.spans[0].tolist()
    assert starts[:3] == [[0, 1], [0, 0], [0, 0]]
    assert starts[3:6] == [[12, 13], [12, 13], [14, 17]]


def test_unknown_words_are_somewhere(words_folder):
    tokens = load(words_folder)(["a blue circle"])
    assert pieces(tokens, 0, "a blue circle") == ["a", "blue", "circle"]


@pytest.mark.parametrize(
    "longest, limit, rows",
    [(1, 512, 64), (63, 512, 64), (64, 512, 128), (300, 512, 512), (512, 512, 512)]
    + [(5, 8, 8), (64, 77, 77), (600, 700, 700)],
)
def test_bucket_keeps_a_row_of_padding(longest, limit, rows):
    assert text.bucket(longest, limit) == rows


@pytest.mark.parametrize("length, rows", [(3, 64), (63, 64), (64, 128), (200, 256)])
def test_shorter_bucket_gives_the_same(length, rows, folder, encoder):
    tokens = load(folder)([" ".join(["cat"] * (length - 1)), "a"])
    short = encode(encoder, tokens)
    assert short.lengths.tolist() == [length, 2]
    assert short.embeddings.shape[1] == rows and short.limit == 512
    long = jax.jit(lambda m, *x: m(*x))(encoder, tokens.ids, tokens.mask)
    long = jnp.where(tokens.mask[..., None], long, 0)
    assert relative(whole(short), long) <= 1e-6


def test_conditioning_is_a_pytree_with_a_static_limit():
    made = Conditioning(jnp.ones((1, 2, 3)), jnp.array([2]), 512, ("cut",))
    doubled = jax.jit(lambda c: jax.tree.map(lambda x: 2 * x, c))(made)
    assert doubled.limit == 512 and doubled.lengths.tolist() == [4]
    assert doubled.cut == ()
    abstract = jax.eval_shape(lambda c: c, made)
    assert abstract.embeddings.shape == (1, 2, 3)


def test_prompt_encoder_gives_each_prompt_the_same_bytes_in_any_batch(folder, encoder):
    prompts = PromptEncoder(encoder, load(folder))
    together = prompts(["a cat", "a cat walks " * 30, "a"])
    alone = PromptEncoder(encoder, load(folder))(["a cat"])
    assert together.embeddings.shape == (3, 128, 16)
    assert alone.embeddings.shape == (1, 64, 16)
    np.testing.assert_array_equal(whole(together)[:1], whole(alone))
    assert together.lengths.tolist() == [3, 91, 2] and together.limit == 512


def test_freed_encoder_still_knows_prompts(folder, encoder):
    prompts = PromptEncoder(encoder, load(folder), remembered=2)
    before = prompts(["a cat"])
    prompts(["a"])
    prompts.free()
    np.testing.assert_array_equal(prompts(["  a  cat "]).embeddings, before.embeddings)
    with pytest.raises(ValueError, match="new, but the text encoder was freed"):
        prompts(["a dog"])


def test_oldest_prompt_is_forgotten(folder, encoder):
    prompts = PromptEncoder(encoder, load(folder), remembered=2)
    for prompt in ("a", "b", "a", "c"):
        prompts([prompt])
    prompts.free()
    prompts(["a", "c"])
    with pytest.raises(ValueError, match="freed"):
        prompts(["b"])


def test_bfloat16_keeps_its_dtype(folder, theirs, encoder, converted):
    config = t5.config(theirs.text_encoder.config.to_dict(), "bfloat16")
    low = converted(T5Encoder, config, t5.DIFFUSERS, theirs.text_encoder)
    got = PromptEncoder(low, load(folder))(["a cat", "a"])
    assert got.embeddings.dtype == jnp.bfloat16
    want = encode(encoder, load(folder)(["a cat", "a"])).embeddings
    assert relative(got.embeddings.astype(jnp.float32), want) < 0.05


def test_refusals_name_what_came(folder, tmp_path, theirs):
    with pytest.raises(ValueError, match="google/umt5-xxl is no folder"):
        load("google/umt5-xxl")
    with pytest.raises(ValueError, match="holds no tokenizer"):
        load(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[1")
    with pytest.raises(ValueError, match="holds no tokenizer"):
        load(tmp_path)
    tokenizer = load(folder)
    with pytest.raises(ValueError, match="list of one or more prompts, got 'a cat'"):
        tokenizer("a cat")
    with pytest.raises(ValueError, match=r"got \[\]"):
        tokenizer([])


@pytest.fixture
def words_folder(tmp_path):
    write_tokenizer(tmp_path, ["a", "red", "circle"], 8)
    return tmp_path


def test_stored_rules_are_those_of_transformers(words_folder):
    prompts = ["", "A red, RED circle", "blue  circle.", "a red circle " * 4]
    theirs = AutoTokenizer.from_pretrained(words_folder)
    for limit in (8, 12):
        tokens = load(words_folder, limit)(prompts)
        want = theirs(
            prompts,
            padding="max_length",
            max_length=limit,
            truncation=True,
            return_tensors="np",
        )
        np.testing.assert_array_equal(tokens.ids, want["input_ids"])
        np.testing.assert_array_equal(tokens.mask, want["attention_mask"] == 1)
    assert tokens.cut == ("", "", "", "circle")
    assert load(words_folder).size == len(theirs) == 6


def test_damaged_rules_are_refused(words_folder):
    config = words_folder / "tokenizer_config.json"
    settings = json.loads(config.read_text())
    for pad in (None, "<none>"):
        config.write_text(json.dumps(settings | {"pad_token": pad}))
        with pytest.raises(ValueError, match="has no padding token"):
            load(words_folder)
    config.write_text(json.dumps(settings))
    file = words_folder / "tokenizer.json"
    file.write_text(file.read_text()[:-30])
    with pytest.raises(ValueError, match="tokenizer.json is damaged"):
        load(words_folder)


def test_stored_rules_need_no_transformers(words_folder):
    code = (
        "import sys\n"
        "from chorus_jax.text.prompts import Tokenizer\n"
        "Tokenizer.load(sys.argv[1], clean=str.strip)\n"
        "assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(words_folder)], check=True)


def test_import_does_not_import_transformers():
    code = (
        "import sys, chorus_jax.text.prompts; assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_rules_are_taken_as_they_are_stored(tmp_path):
    """transformers' class of T5 would build them without bytes for the unknown."""
    from tokenizers import Tokenizer as Rules
    from tokenizers import models

    words = [("<pad>", 0.0), ("<unk>", 0.0), ("a", -1.0)]
    words += [(f"<0x{i:02X}>", -2.0) for i in range(256)]
    rules = Rules(models.Unigram(words, unk_id=1, byte_fallback=True))
    rules.save(str(tmp_path / "tokenizer.json"))
    settings = {"tokenizer_class": "T5Tokenizer", "pad_token": {"content": "<pad>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    tokens = load(tmp_path, 8)(["é"])
    assert list(tokens.ids[0, :2]) == [3 + 0xC3, 3 + 0xA9]
