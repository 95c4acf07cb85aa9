"""``python -m sprachbund``: the command where the environment's programs are not on the path."""

from sprachbund.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
