"""`python -m benchmarks.calibrate`."""

from benchmarks.calibrate.calibration import main

main()
