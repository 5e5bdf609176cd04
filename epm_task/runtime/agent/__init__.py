"""What a task says to its agent over HTTPS, and how it is sure that it is the agent."""
