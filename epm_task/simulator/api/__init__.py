"""The API is the agent's local HTTPS interface, with its port for plain HTTP beside it."""
