"""A page's process that hears nothing: whatever it is sent stays in the socket."""

import time

time.sleep(3600)
