"""A head beside a network that stays as it is: scans whose errors are known, what they teach, what they calibrate."""
