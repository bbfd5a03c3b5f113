"""What the Kotlin engines' tests are given: bundles, and what Python makes of them."""
