"""The LTX-2 family: video and audio in one transformer."""
