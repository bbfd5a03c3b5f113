"""Cases for the Kotlin core that are too many to be stored."""

"""What the Kotlin engines' tests are given: bundles, and what Python makes of them."""
