"""The library of the course: what the labs need besides the idea they teach."""
