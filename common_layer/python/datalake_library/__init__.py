"""The data lake's shared library: what the function images have in common."""
