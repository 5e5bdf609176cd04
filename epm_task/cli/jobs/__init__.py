"""The verbs of `epm-task jobs`, which call the agent's Job Management API; one verb, one file."""
