"""The command line `epm-task`: one file for each verb or group of verbs."""
