"""``python -m service`` is ``tickfan``."""

from service.cli import main

main()
