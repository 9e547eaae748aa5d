"""N-gram models, which are counted and not trained."""
