"""Make projects for tasks from a template, and bring them to a newer one."""
