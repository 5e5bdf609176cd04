"""HTTP/1.1 for the agent's API and its console: h11 reads and writes it, asyncio carries it."""
