"""From messages to token ids, and from an answer's tokens to text and boxes."""
