"""How fast it is, and compared with what: see README.md beside this file."""
