"""Model families, one folder each; `registry` lists them."""
