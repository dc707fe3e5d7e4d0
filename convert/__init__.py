"""Conversion of PyTorch weights to Orbax and back; the only package that reads them."""
