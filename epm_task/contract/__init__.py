"""Package contract."""
