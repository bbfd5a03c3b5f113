"""Linear layers as other quantizers pack them, unpacked to the integers that they hold."""
