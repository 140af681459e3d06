"""The `tillside` command line: a module per command, each a plain function that returns an exit code."""
