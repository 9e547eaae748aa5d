"""What a text is beyond its token ids, in nats and in bits: spelling, white space, and the arithmetic coder."""
