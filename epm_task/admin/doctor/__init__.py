"""Find out from outside why a task does not run, without changing anything."""
