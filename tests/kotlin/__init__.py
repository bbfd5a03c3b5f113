"""Cases for the Kotlin core that are too many to be stored."""
