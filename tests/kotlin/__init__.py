"""Cases for the Kotlin parts that are too many or too large to be stored."""
