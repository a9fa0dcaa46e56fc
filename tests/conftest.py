"""Makes ``kit``, the helpers beside this file, importable for every test."""
