"""Marking homework: `adapter` runs beside the student's code, `marking` beside the hidden checks."""
