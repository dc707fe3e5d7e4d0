"""Time and memory of converting a synthetic transformer of the size of Wan 2.1 14B.

    nice -n 10 python -m benchmarks.speed.conversion
    nice -n 10 python -m benchmarks.speed.conversion --layers 10

The source has the real names and shapes in bfloat16, as one sparse file of zeros that
takes no disk space, so reading it costs less than a real one. The output takes as much
space as a real one. Goal: a peak of at most 1.25 times the largest array plus 1 GiB.
"""

import argparse
import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib import rows
from chorus_jax.checkpoints import Card, abstract, names
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from convert import wan
from convert.conversion import Order, convert, prepare
from convert.family import TRANSFORMER
from convert.plan import source_shape, sources
from convert.rules import Rule
from convert.source import ORIGINAL, Component, Source
from convert.tensors import by_name, read_safetensors
from convert.tokenizer_files import TokenizerSource

GIB = 2**30
LAYERS = 40
COLUMNS = ("row", "seconds", "written_gb", "peak_gib", "limit_gib")
SIZES = {"dim": 5120, "ffn_dim": 13824, "num_heads": 40, "in_dim": 16, "out_dim": 16}
COMMON = {"freq_dim": 256, "eps": 1e-6, "text_len": 512, "model_type": "t2v"}


def shapes(config: WanConfig) -> dict[str, tuple[int, ...]]:
    """The source's tensors under their original names."""
    table = [rule for rule in wan.ORIGINAL if isinstance(rule, Rule)]
    made: dict[str, tuple[int, ...]] = {}
    for target, leaf in names(abstract(WanDiT, config)).items():
        for rule in table:
            theirs = sources(rule, target, leaf.shape)
            if theirs is not None:
                shape = tuple(source_shape(rule, leaf.shape))
                made |= dict.fromkeys(theirs, shape)
                break
    return made


def write_sparse(
    file: Path,
    tensors: dict[str, tuple[int, ...]],
    metadata: dict[str, str] | None = None,
) -> None:
    """Writes a sparse safetensors file of bfloat16 zeros with these shapes."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, shape in tensors.items():
        size = 2 * int(np.prod(shape))
        offsets = [end, end + size]
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": offsets}
        end += size
    text = json.dumps(header).encode()
    with open(file, "wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + end)


def opened(folder: Path, layers: int) -> Source:
    """Makes the synthetic source: a transformer, and a tokenizer that is not read."""
    fields = {**COMMON, **SIZES, "num_layers": layers}
    file = folder / "diffusion_pytorch_model.safetensors"
    write_sparse(file, shapes(wan.original_config(fields, "bfloat16")))
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "tokenizer.json").write_text("{}")
    part = Component(by_name(read_safetensors(file)), fields, [file], ORIGINAL)
    return Source(folder, {"transformer": part}, TokenizerSource(tokenizer), None)


def peak_gib() -> float:
    """The peak memory of this process in GiB."""
    status = Path("/proc/self/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+)", status)
    assert match is not None
    return int(match[1]) * 1024 / GIB


def measured(layers: int) -> dict[str, Any]:
    """Converts once; returns the row."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        source = opened(Path(name), layers)
        kinds = {"transformer": TRANSFORMER}
        parts = prepare(source, kinds, "bfloat16")
        largest = max(
            x.size * x.dtype.itemsize
            for x in names(parts["transformer"].module).values()
        )
        began = time.perf_counter()
        convert(source, parts, Path(name) / "converted", Order())
        seconds = time.perf_counter() - began
        card = Card.read(Path(name) / "converted")
    return {
        "row": f"wan21_14b, {layers} layers",
        "seconds": seconds,
        "written_gb": 2 * card.part("transformer").parameters / 1e9,
        "peak_gib": peak_gib(),
        "limit_gib": 1.25 * largest / GIB + 1,
    }


def main() -> None:
    """Measures, writes the row, prints the table."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--layers", type=int, default=LAYERS, help="of 40, to save disk")
    options = top.parse_args()
    rows.commit()
    made = [measured(options.layers)]
    rows.update("conversion", made)
    print(rows.table(made, COLUMNS))
    if made[0]["peak_gib"] > made[0]["limit_gib"]:
        raise SystemExit("the peak is above the limit")


if __name__ == "__main__":
    main()
