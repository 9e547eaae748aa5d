"""The version, where every floor may import it."""

__version__ = "0.1.0"
