"""What the agent and its callers agree on: each fact of the vendor once."""
