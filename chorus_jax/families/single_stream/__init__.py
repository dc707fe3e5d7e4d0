"""What transformers with one stream of video tokens share: a block, a pass."""
