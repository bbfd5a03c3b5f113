"""An OpenAI-compatible HTTP server over one model. Python's own: no part of the portable core."""
