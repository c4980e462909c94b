"""Use cases: records and files, prompts, tools that are configuration, callers' identities."""
