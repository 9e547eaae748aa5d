"""Files on disk: the model file, and files that are replaced whole or left as they were."""
