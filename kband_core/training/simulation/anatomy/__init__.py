"""Heads made of real anatomy, which other packages carry."""
