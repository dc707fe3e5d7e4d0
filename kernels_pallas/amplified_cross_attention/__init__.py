"""Attention of video queries over a short text, with gains of keys and output."""
