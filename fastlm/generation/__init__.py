"""Going on with a text: drawn token by token, or the likeliest words and continuations."""
