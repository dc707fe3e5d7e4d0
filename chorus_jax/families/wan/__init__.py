"""Wan 2.1 (arXiv 2503.20314): transformer, VAE and their sizes."""
