"""``python -m vidrobust`` is ``vidrobust``."""

from vidrobust.cli.entry import main

main()
