"""What runs the project's tests and shows its demo."""
