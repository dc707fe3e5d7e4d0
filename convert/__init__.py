"""Conversion of PyTorch weights to Orbax and back.

No other package of this library reads PyTorch weights.
"""
