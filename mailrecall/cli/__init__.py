"""The `mailrecall` command."""
