"""Files: raw lines, images, planes, and data sets of others."""
