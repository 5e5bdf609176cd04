"""The command line is `epm-task`: one verb, one file, and one place where errors become output."""
