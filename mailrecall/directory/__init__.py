"""The directory: organisations, domains, accounts, aliases, groups and policies."""
