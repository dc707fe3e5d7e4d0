"""`python -m benchmarks.index`."""

from benchmarks.index.comparison import main

main()
