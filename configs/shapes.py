"""A small Wan of our own, trained on the shapes world from nothing.

    python -m chorus_jax.training vae      --config configs/shapes.py --out DIR
    python -m chorus_jax.training encode   --config configs/shapes.py --out DIR
    python -m chorus_jax.training flow     --config configs/shapes.py --out DIR
    python -m chorus_jax.training teach    --config configs/shapes.py --out DIR
    python -m chorus_jax.training distill  --config configs/shapes.py --out DIR
    python -m chorus_jax.training assemble --config configs/shapes.py --out DIR
    chorus generate "a red circle moves left on a gray background" \\
        --weights DIR/model --config shapes

Every stage goes on where it was stopped. `--workers N` renders in N processes, for
machines where one is too slow (a GPU); `--products bfloat16` is faster on CPUs with
matrix units; `XLA_FLAGS=--xla_force_host_platform_device_count=2` trains on two cores
as on two devices. `unpack` in place of vae goes on from a finished model, with layers
in between if the recipe has more. With glibc, memory that is kept from step to step
saves a fifth of the time: `GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=
0:glibc.malloc.trim_threshold=100000000000:glibc.malloc.arena_max=1`; then stop a run
once its program is compiled and start it again, or that memory is in pieces.

The shipped weights were made by these commands with seed 0 on 2 cores of an Intel Xeon
with AMX, all but vae and encode with `--products bfloat16`, flow and distill on two
devices, with other work beside: vae 1450 steps in 20 minutes, then flow in parts, each
from the averaged parameters of the one before. Only the last part's cores had no AMX
and multiplied in float32.

    5 layers, 8000 clips of shapes up to a sixth smaller, batches of 16, no places in
    `structure`: 5568 steps (of 6500, rate 2e-2, warm-up 50, average 0.998, no `naming`)
    in 83 minutes, 1500 (rate 1e-2, decay 0.9, average 0.995) in 30, 4700 in 71
    unpack, encode 9000 clips in 9 minutes, then batches of 32 at a rate of 1.5e-2,
    levels of noise as the sampler's: 418 steps in 10 minutes without places, 3450 in 95
    unpack, the same clips, then the plan below: 4500 steps in 78 minutes
    unpack, the same clips, from here on with noise that goes with them (`coupling.py`):
    the plan below with --steps 1500, in 64 minutes

In all 504 000 clips; then teach in 2 minutes and distill in 3. They know colours,
motions, backgrounds and sizes, but only some shapes: see the README.
"""

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.t5 import T5Config
from chorus_jax.request import Request
from chorus_jax.training.plan import Plan
from chorus_jax.training.recipe import (
    DistillTraining,
    FlowTraining,
    Recipe,
    VaeTraining,
)
from chorus_jax.training.world.scene import World

FPS = 8  # the speed at which the world moves
WEIGHTS = "shapes"  # what `chorus generate` ships, see chorus_jax.checkpoints.shipped
# Of the weights that are shipped; a test compares it with theirs.
FINGERPRINT = "17e7d5f6c5904ef5811b1d5cf2d8f248d27e280fe3cda7fb7b0fdbd2c8de8ba0"
CHANNELS = 8
SHIFT = 3.0
GUIDANCE = 3.0


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return Request(
        prompt="",
        frames=17,
        height=64,
        width=64,
        solver="euler",
        shift=SHIFT,
        guidance_scale=GUIDANCE,
    )


def get_recipe() -> Recipe:
    """Videos of 17 frames and 64x64 pixels; latents 5x16x16x8; 256 tokens."""
    return Recipe(
        world=World(height=64, width=64, frames=17),
        vae=WanVAEConfig(
            width=16,
            multipliers=(1, 2, 4),
            depth=1,
            halve_time=(True, True),
            latents_mean=(0.0,) * CHANNELS,
            latents_std=(1.0,) * CHANNELS,
        ),
        text_encoder=T5Config(
            width=96, depth=2, heads=3, head_width=32, mlp_width=192, vocab=0
        ),
        transformer=WanConfig(
            heads=5,
            depth=7,
            mlp_width=512,
            head_width=32,
            in_channels=CHANNELS,
            out_channels=CHANNELS,
            text_width=96,
            text_limit=32,
            # A token is a place at all times: what moves then moves within tokens.
            patch=(5, 1, 1),
            tile=(1, 2, 2),
        ),
        # Whole clips in time: beyond the frames that it was trained on it is wrong.
        train_vae=VaeTraining(
            Plan(steps=1450, batch=3, learning_rate=1e-2), frames=17, side=32
        ),
        train_flow=FlowTraining(
            Plan(
                steps=4500,
                batch=32,
                learning_rate=1e-2,
                warmup=50,
                decay=0.97,
                average=0.998,
            ),
            clips=9000,
            # Beyond the sampler's: begun with less noise, most shapes come out right.
            shift=2 * SHIFT,
        ),
        distill=DistillTraining(
            Plan(steps=250, batch=16, learning_rate=5e-3, warmup=20, average=0.98),
            trajectories=256,
            guidance_scale=GUIDANCE,
            shift=SHIFT,
        ),
    )
