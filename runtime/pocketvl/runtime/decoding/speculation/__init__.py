"""Drafts looked up in what was said before."""
