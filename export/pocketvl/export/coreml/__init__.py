"""The Core ML target: graphs in fp16 with the recipe's integers, as .mlpackage folders."""
