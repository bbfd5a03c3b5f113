"""How fast a bundle's stages are, beside other bundles and by this machine's kernels."""
