"""How images are described: headers, meta, numbers, series."""
