"""Common parts of transformers with one stream of video tokens: a block, a pass."""
