"""What a browser shows of a server: scans, images, failures; in a process of its own, which no scan waits for."""
