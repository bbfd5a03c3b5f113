"""Answers from a bundle: images, prompt, positions, engines, session. No torch in its own code."""
