"""Jobs: stored, checked, started when they are due, and run."""
