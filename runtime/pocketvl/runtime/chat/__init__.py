"""A conversation: its turns, its answers, and the session that makes them."""
