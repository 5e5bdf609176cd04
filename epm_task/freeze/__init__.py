"""Freezing makes an executable of a task, in the layout of the agent."""
