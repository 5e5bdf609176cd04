"""The scaffold: projects for tasks, made from a template, and brought to a newer one."""
