"""Parity, accuracy, size and speed of a bundle."""
