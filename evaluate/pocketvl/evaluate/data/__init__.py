"""Questions about pictures with their right answers, read from files or drawn."""
