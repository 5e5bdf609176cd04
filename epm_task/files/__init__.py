"""Files that survive: written whole, and kept by one process at a time."""
