"""Work that is due at a time. Nothing waits inside the queue: what waits is a row, compared with the clock."""
