"""The command line, as `python -m chorus_jax`."""

from chorus_jax.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
