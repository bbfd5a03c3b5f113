"""What Python writes for the Kotlin tests: cases with the answers that both must give."""
