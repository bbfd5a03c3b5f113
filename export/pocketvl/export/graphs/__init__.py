"""The graphs that are exported, each to be read from top to bottom."""
