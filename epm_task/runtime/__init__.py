"""The runtime is all that runs inside a task process, from argv to exit code."""
