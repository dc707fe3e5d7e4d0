"""Transformers of published sizes and names are converted within the memory rule.

The source is a sparse file of zeros, and blocks of zeros are not stored: neither takes
any room on the disk.
"""

import subprocess
import sys

import pytest

CONVERSION = """
import json, re, sys
from pathlib import Path
import tensorstore as ts
from benchmarks.speed.conversion import write_sparse
from chorus_jax.checkpoints import abstract, names, writing
from convert import conversion, ltx2_single, ltx_single
from convert.conversion import Order, convert, prepare
from convert.ltx2_family import LTX2
from convert.ltx_family import LTX
from convert.plan import source_shape, sources
from convert.source import ORIGINAL, Source
from convert.tokenizer_files import TokenizerSource
from tests.convert import made_ltx, made_ltx2

folder, size = Path(sys.argv[1]), sys.argv[2]
WIDE = {"num_attention_heads": 32, "attention_head_dim": 128, "num_layers": 48}
WIDE |= {"in_channels": 128, "out_channels": 128, "cross_attention_dim": 4096}
AUDIO = {"audio_num_attention_heads": 32, "audio_attention_head_dim": 64}
AUDIO |= {"audio_in_channels": 128, "audio_out_channels": 128}
AUDIO |= {"audio_cross_attention_dim": 2048, "caption_channels": 3840}
if size == "13B":
    family, kinds, read = "ltx", LTX, lambda file: ltx_single.read_single(file).parts
    config = {**made_ltx.TRANSFORMER, **WIDE, "caption_channels": 4096}
else:
    family, kinds, read = "ltx2", LTX2, ltx2_single.read_single
    config = {**made_ltx2.TRANSFORMER, **WIDE, **AUDIO}

layout, tensors = kinds["transformer"].layouts[ORIGINAL], {}
sizes = layout.config(config, "bfloat16")
for target, leaf in names(abstract(kinds["transformer"].model, sizes)).items():
    for rule in layout.rules(sizes):
        theirs = sources(rule, target, leaf.shape)
        if theirs is not None:
            shape = tuple(source_shape(rule, leaf.shape))
            tensors |= {f"model.diffusion_model.{name}": shape for name in theirs}
            break
file = folder / "whole.safetensors"
write_sparse(file, tensors, {"config": json.dumps({"transformer": config})})

opening = ts.open
def sparse(spec, **options):
    spec = {**spec, "store_data_equal_to_fill_value": False}
    return opening(spec, fill_value=0, **options)
writing.ts = type("Sparse", (), {"open": staticmethod(sparse)})
conversion.check_space = lambda *_: None

(folder / "tokenizer").mkdir()
(folder / "tokenizer" / "tokenizer.json").write_text("{}")
part = {"transformer": read(file)["transformer"]}
words = TokenizerSource(folder / "tokenizer")
source = Source(folder, part, words, None, family=family)
parts = prepare(source, {"transformer": kinds["transformer"]}, "bfloat16")
leaves = names(parts["transformer"].module).values()
largest = max(x.size * x.dtype.itemsize for x in leaves)
card = convert(source, parts, folder / "converted", Order())
status = Path("/proc/self/status").read_text()
peak = int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) * 1024
print(card.part("transformer").parameters, peak / 2**30, largest / 2**30)
"""


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("size", "least"), [("13B", 12.5e9), ("19B", 18e9)])
def test_memory_of_published_transformers(size, least, tmp_path):
    command = [sys.executable, "-c", CONVERSION, str(tmp_path), size]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    parameters, peak, largest = map(float, done.stdout.split())
    print(f"{size}: {parameters:.3g} parameters, peak {peak:.2f} GiB")
    assert parameters > least
    assert peak < 1.25 * largest + 1
    room = sum(x.stat().st_blocks * 512 for x in tmp_path.rglob("*") if x.is_file())
    assert room < 2**30
