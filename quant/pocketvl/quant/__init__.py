"""How weights become 4 or 8 bits, and which bits go where."""
