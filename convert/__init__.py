"""PyTorch weights to Orbax and back: the only place that may read them."""
