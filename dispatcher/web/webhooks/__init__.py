"""Endpoints of webhooks, their secrets, the test button and the log."""
