"""What tests of several slices share."""
