"""``python -m vidrobust`` is ``vidrobust``."""

from vidrobust.cli import main

main()
