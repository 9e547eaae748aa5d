"""Prefix models mixed: n-grams, networks, and networks that correct the n-grams."""
