"""Time and memory of converting a synthetic transformer of the size of Wan 2.1 14B.

    python -m benchmarks.speed.conversion --scratch FOLDER
    python -m benchmarks.speed.conversion --scratch FOLDER --rows killed

The source has the real names and shapes in bfloat16, in sparse files: their values are
zeros that take no disk space, so reading them costs less than reading real weights. All
bytes of the result are written. On Linux, `fallocate --dig-holes` frees the space of
written zeros while the conversion runs, so that a few GB of disk are enough; its CPU
time adds to the seconds. Without it, the row `whole` takes 29 GB and `killed` 15 GB.

For `killed`, the source has two experts of ten layers. A first conversion is killed
(SIGKILL) when half of the second expert is written; the row has the seconds of the next
run, which keeps the first expert. The goal: a peak memory of at most 1.25 times the
largest array plus 1 GiB.
"""

import argparse
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lib import rows
from chorus_jax.checkpoints import Card, abstract, names
from chorus_jax.checkpoints.folder import partial_folder
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
POLL = 0.01  # seconds between checks of the bytes written
DIG = shutil.which("fallocate")  # frees the disk space of zeros; None if missing
SMALL = 2**20  # the most bytes of a file whose zeros are not freed
COLUMNS = ("row", "seconds", "written_gb", "peak_gib", "limit_gib")
COMMON = {"freq_dim": 256, "eps": 1e-6, "text_len": 512, "model_type": "t2v"}
SIZES = {"dim": 5120, "ffn_dim": 13824, "num_heads": 40, "in_dim": 16, "out_dim": 16}
WHOLE = {**COMMON, **SIZES, "num_layers": 40}
EXPERT = {**WHOLE, "num_layers": 10}
EXPERTS = ("transformer", "transformer_2")
ROWS = ("whole", "killed")


def shapes(config: WanConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each source tensor of a Wan transformer, by its original name."""
    table = [rule for rule in wan.ORIGINAL if isinstance(rule, Rule)]
    made: dict[str, tuple[int, ...]] = {}
    for target, leaf in names(abstract(WanDiT, config)).items():
        for rule in table:
            source_names = sources(rule, target, leaf.shape)
            if source_names is not None:
                shape = tuple(source_shape(rule, leaf.shape))
                made |= dict.fromkeys(source_names, shape)
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


def opened(folder: Path, experts: Mapping[str, Mapping[str, Any]]) -> Source:
    """The synthetic source, with sparse files written as needed.

    Args:
        folder: the folder for the files.
        experts: the fields of each transformer's config, by the part's name.

    Returns:
        A source of these transformers, with a tokenizer that is never read.
    """
    parts = {}
    for name, fields in experts.items():
        file = folder / name / "diffusion_pytorch_model.safetensors"
        file.parent.mkdir(exist_ok=True)
        if not file.exists():
            write_sparse(file, shapes(wan.original_config(dict(fields), "bfloat16")))
        tensors = by_name(read_safetensors(file))
        parts[name] = Component(tensors, dict(fields), [file], ORIGINAL)
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir(exist_ok=True)
    (tokenizer / "tokenizer.json").write_text("{}")
    return Source(folder, parts, TokenizerSource(tokenizer), None)


def peak_gib() -> float:
    """The peak memory of this process in GiB."""
    status = Path("/proc/self/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+)", status)
    assert match is not None
    return int(match[1]) * 1024 / GIB


def run(
    folder: Path, experts: Mapping[str, Mapping[str, Any]], pipe: Any = None
) -> None:
    """Converts the source and sends the figures of its row to a pipe.

    Runs in a separate process, whose peak memory is that of the conversion.
    """
    source = opened(folder, experts)
    parts = prepare(source, dict.fromkeys(experts, TRANSFORMER), "bfloat16")
    arrays = [x for part in parts.values() for x in names(part.module).values()]
    largest = max(x.size * x.dtype.itemsize for x in arrays)
    began = time.perf_counter()
    convert(source, parts, folder / "converted", Order())
    figures = {
        "seconds": time.perf_counter() - began,
        "written_gb": sum(part.nbytes for part in parts.values()) / 1e9,
        "peak_gib": peak_gib(),
        "limit_gib": 1.25 * largest / GIB + 1,
    }
    pipe.send(figures)


def started(folder: Path, experts: Mapping[str, Mapping[str, Any]]) -> tuple[Any, Any]:
    """Starts a conversion in a new process; returns the process and a pipe from it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=run, args=(folder, experts, there))
    process.start()
    there.close()
    return process, here


def finished(folder: Path, experts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Runs a conversion to its end; returns its figures."""
    process, pipe = started(folder, experts)
    try:
        while not pipe.poll(1):
            give_back(partial_folder(folder / "converted"))
        figures = pipe.recv()
    except EOFError:
        raise SystemExit("the conversion failed") from None
    finally:
        process.join()
    return figures


def killed(folder: Path, experts: Mapping[str, Mapping[str, Any]]) -> None:
    """Starts a conversion and kills it when half of its last part is written.

    Raises:
        SystemExit: if the conversion ended before, or left a folder that loads.
    """
    source = opened(folder, experts)
    [file] = source.components[list(experts)[-1]].files
    half = file.stat().st_size / 2
    process, _ = started(folder, experts)
    last = partial_folder(folder / "converted") / list(experts)[-1]
    while process.is_alive() and written(last) < half:
        time.sleep(POLL)
    process.kill()
    process.join()
    if process.exitcode == 0:
        raise SystemExit("the conversion ended before it could be killed")
    for leftover in (folder / "converted", partial_folder(folder / "converted")):
        try:
            Card.read(leftover)
        except ValueError:
            continue
        raise SystemExit(f"a killed conversion left {leftover.name}, which loads")


def give_back(folder: Path) -> None:
    """Frees the disk space of zeros in a folder's files; does not change content."""
    if DIG is None:
        return
    # `os.walk` passes over folders that are renamed meanwhile.
    for place, _, files in os.walk(folder):
        for path in (Path(place, name) for name in files):
            try:
                large = path.stat().st_blocks * 512 > SMALL
            except OSError:
                continue
            if large:
                command = [DIG, "--dig-holes", str(path)]
                subprocess.run(command, check=False, stderr=subprocess.DEVNULL)


def written(folder: Path) -> int:
    """Bytes written so far for a part, including temporary files beside its folder."""
    total = 0
    for place in folder.parent.glob(f"{folder.name}*"):
        for path in (place, *place.rglob("*")):
            try:
                total += path.stat().st_size if path.is_file() else 0
            except OSError:  # renamed meanwhile
                continue
    return total


def measured(
    which: str, scratch: Path, layers: tuple[Mapping[str, Any], Mapping[str, Any]]
) -> dict[str, Any]:
    """Measures a row: of a whole model, or of the run after a killed conversion.

    Args:
        which: `whole` or `killed`.
        scratch: a folder for temporary files.
        layers: the config fields of the whole transformer and of an expert.
    """
    full, expert = layers
    with tempfile.TemporaryDirectory(dir=scratch) as name:
        if which == "whole":
            made = finished(Path(name), {EXPERTS[0]: full})
            return {"row": f"wan21_14b, {full['num_layers']} layers", **made}
        experts = dict.fromkeys(EXPERTS, expert)
        killed(Path(name), experts)
        made = finished(Path(name), experts)
        count = expert["num_layers"]
        row = f"two experts of {count} layers, after a kill in the second"
        return {"row": row, **made}


def main() -> None:
    """Measures, writes the rows, prints the table."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--scratch", type=Path, default=Path.cwd(), help="for 29 GB")
    top.add_argument("--rows", nargs="+", default=ROWS, choices=ROWS)
    options = top.parse_args()
    rows.commit()
    sizes = (WHOLE, EXPERT)
    made = [measured(which, options.scratch, sizes) for which in options.rows]
    rows.update("conversion", made)
    print(rows.table(made, COLUMNS))
    if any(row["peak_gib"] > row["limit_gib"] for row in made):
        raise SystemExit("a peak is above its limit")


if __name__ == "__main__":
    main()
