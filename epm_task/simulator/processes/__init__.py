"""Processes: started for tasks, registered, recognised, and ended."""
