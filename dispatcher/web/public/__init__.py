"""What everybody may read, in the shape that dashboards and feed readers know from Statuspage (v2)."""
