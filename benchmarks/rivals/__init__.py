"""The rivals that need code of their own: the built-in models in PyTorch, KenLM and nanoGPT."""
