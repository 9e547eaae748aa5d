"""How well a model predicts texts: of a whole text, of each of many, and of every token and word."""
