"""From token ids and image embeddings to tokens: feeding, the KV cache, choosing."""
