"""`python -m ccwhisper` is the `ccwhisper` command."""

from ccwhisper.cli import main

main()
