"""Prompts: cleaning, tokens and text embeddings."""
