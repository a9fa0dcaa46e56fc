"""Helpers of more than one test directory: real registries, faulty networks, source trees."""
