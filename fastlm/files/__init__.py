"""Files on disk: the format of model files, safe replacement of files, and which files may be replaced."""
