"""Pictures the course works on: real photographs and generated scenes."""
