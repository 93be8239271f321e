"""What is true of MRI: pure functions of tensors."""
