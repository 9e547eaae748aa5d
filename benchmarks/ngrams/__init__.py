"""Measure counting, scoring and memory of n-gram models, beside KenLM."""
