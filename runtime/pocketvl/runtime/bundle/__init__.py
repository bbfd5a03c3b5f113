"""What a bundle is: its files, its manifest, and all that is checked before anything of it is run."""
