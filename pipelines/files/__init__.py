"""MRD files and streams: raw lines in, images out, each finished or absent."""
