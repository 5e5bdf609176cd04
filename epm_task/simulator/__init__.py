"""The simulator is an agent in a box: the local contract of KEPM, on this machine."""
