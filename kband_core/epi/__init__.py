"""Echo-planar readouts: where their samples lie, the phase between both ways of reading, and the ghost it leaves."""
