"""Package faults."""
