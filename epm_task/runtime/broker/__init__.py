"""How records and messages reach the agent's MQTT broker, and are acknowledged."""
