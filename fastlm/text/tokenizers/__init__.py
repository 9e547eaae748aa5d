"""Tokenizers that users bring: objects of other packages, and files of byte-level pieces."""
