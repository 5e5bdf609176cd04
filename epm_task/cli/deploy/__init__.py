"""The verbs of `epm-task deploy`, which bring programs and jobs to an agent; one verb, one file."""
