"""What coils are: fewer, white, and with known sensitivities."""
