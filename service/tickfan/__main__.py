"""``python -m tickfan`` is ``tickfan``."""

from tickfan.cli import main

main()
