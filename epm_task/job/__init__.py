"""The job document: made from tasks, parsed with places, checked by rules."""
