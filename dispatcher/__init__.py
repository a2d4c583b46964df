"""When things happen, and the flow: accept, compose, approve, plan, release, send, track, report.

`pipeline.py` wires the stages and is the file to open first; `app` is the one place that builds
things. What may import what is written, and checked, in pyproject.toml (import-linter).
"""
