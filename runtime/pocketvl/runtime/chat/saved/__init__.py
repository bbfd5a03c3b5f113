"""A conversation in a file."""
