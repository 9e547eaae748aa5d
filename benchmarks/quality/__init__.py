"""Measure how well the trained models predict, for the time that they were given."""
