"""What runs inside a task process, from argv to exit code."""
