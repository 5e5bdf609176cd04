"""The doctor examines an agent and one of its jobs from outside, and never changes anything."""
