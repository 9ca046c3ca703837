"""`python -m prvr` is `prvr`."""

from prvr.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
