"""Video queries over a short text whose keys and output are amplified."""
