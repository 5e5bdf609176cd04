"""How what a task writes becomes a record, and where the records wait."""
