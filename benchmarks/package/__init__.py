"""Measure what the installed package costs."""
