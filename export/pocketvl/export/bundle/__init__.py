"""A bundle as a folder: where it may go, how it comes to be there whole, and its card."""
