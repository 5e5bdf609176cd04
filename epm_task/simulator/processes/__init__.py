"""Package processes."""
