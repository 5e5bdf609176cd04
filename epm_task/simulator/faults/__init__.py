"""What goes wrong on purpose, so that authors can test their tasks against it."""
