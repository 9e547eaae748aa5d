"""What a model thinks of a text, to look at: in a terminal, in a notebook, and as a page."""
