"""Measure a model's training steps, single steps and prefix states, beside PyTorch and llm.c."""
