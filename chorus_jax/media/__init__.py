"""Videos and images as files."""
