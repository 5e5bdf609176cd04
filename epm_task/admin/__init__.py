"""The other caller of the agent's API: deployment tooling, which holds the Admin tier."""
