"""The flow, one file or folder each, independent of one another: they meet in rows (see pipeline.py).

accept → compose → approve → plan → release → send → track → report
"""
