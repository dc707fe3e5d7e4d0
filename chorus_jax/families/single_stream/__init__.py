"""Base classes of transformers with one stream of video tokens: block, pass, model."""
