"""From an image in any form to embeddings: decoding, resizing, patches, the vision encoder's calls."""
