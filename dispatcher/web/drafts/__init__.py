"""Drafts: what waits for a person, and what people do with it."""
