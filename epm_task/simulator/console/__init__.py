"""The console: a page on loopback that shows what an agent does; loaded when it is asked for."""
