"""What the compiler does, one pass a file."""
