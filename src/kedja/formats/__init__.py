"""Models as files, and the roads to and from other libraries."""

from kedja.formats.state import load, save

__all__ = ["load", "save"]
