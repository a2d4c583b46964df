"""Sources, their door, and the inspector of what came in."""
