"""The catalogue in the documentation: pages made from the registries, see `pages.py`."""
