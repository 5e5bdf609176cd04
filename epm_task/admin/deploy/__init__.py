"""Deploying brings programs and their jobs to the agent of this machine, whole or not at all."""
