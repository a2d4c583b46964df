"""People who work with Tidings: users, signing in, their keys, and what they did."""
