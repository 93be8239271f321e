"""Buffers become images."""
