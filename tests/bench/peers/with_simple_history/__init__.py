"""django-simple-history: a signal after save copies the machine into a table of its history."""
