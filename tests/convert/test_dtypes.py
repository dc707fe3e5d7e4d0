"""One dtype for each part."""

import pytest

from convert.dtypes import DEFAULT, parse

PARTS = ("transformer", "vae", "text_encoder", "transformer_2")


@pytest.mark.parametrize(
    ("text", "transformer", "vae", "text_encoder", "low"),
    [
        (DEFAULT, "bfloat16", "float32", "bfloat16", "bfloat16"),
        ("float32", "float32", "float32", "float32", "float32"),
        ("vae=bfloat16", "bfloat16", "bfloat16", "bfloat16", "bfloat16"),
        ("transformer=float32", "float32", "float32", "bfloat16", "float32"),
        ("vae=float32,bfloat16", "bfloat16", "float32", "bfloat16", "bfloat16"),
        (
            "transformer=float32, transformer_2=bfloat16",
            *("float32", "float32", "bfloat16", "bfloat16"),
        ),
    ],
)
def test_parse(text, transformer, vae, text_encoder, low):
    assert list(parse(text, PARTS).values()) == [transformer, vae, text_encoder, low]


@pytest.mark.parametrize("text", ["float16", "unet=float32", "vae=", "vae:float32", ""])
def test_what_is_no_dtype(text):
    with pytest.raises(ValueError, match="is no dtype of a part: give bfloat16 or"):
        parse(text, PARTS)
