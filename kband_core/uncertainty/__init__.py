"""How far a network's figures are from the truth: said by a network, calibrated by what was seen on held-out scans."""
