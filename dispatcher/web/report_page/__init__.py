"""The report that account managers open: pages, their charts, live counts, and the links to them."""
