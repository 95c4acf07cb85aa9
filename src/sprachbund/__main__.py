"""``python -m sprachbund``."""

from sprachbund.cli import main

main()
