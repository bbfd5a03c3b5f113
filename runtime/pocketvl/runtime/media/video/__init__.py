"""Which frames of a video are taken, and how they are read."""
