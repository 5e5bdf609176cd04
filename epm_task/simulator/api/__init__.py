"""The agent's local HTTPS API, with its port for plain HTTP beside it."""
