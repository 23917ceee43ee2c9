"""``python -m irprune`` is the command ``irprune``."""

from .cli import main

main()
