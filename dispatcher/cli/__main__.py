"""`python -m dispatcher.cli`: how the command starts further processes of its own kind."""

from dispatcher.cli import main

main()
