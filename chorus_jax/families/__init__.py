"""Model families, one folder each. The rest of the library knows none by name."""
