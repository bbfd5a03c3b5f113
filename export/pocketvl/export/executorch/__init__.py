"""The ExecuTorch target: graphs over a cache of their own, lowered to XNNPACK, as .pte files."""
