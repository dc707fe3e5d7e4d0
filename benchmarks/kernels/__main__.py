"""`python -m benchmarks.kernels`."""

from benchmarks.kernels.comparison import main

main()
