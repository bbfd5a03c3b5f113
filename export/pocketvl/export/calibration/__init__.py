"""Runs calibration data through the float model, layer by layer, and decides integers on the way."""
