"""Tools that a model may call: described, called, answered."""
