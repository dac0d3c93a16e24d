"""django-auditlog: a signal on save compares the machine with the stored one and writes a LogEntry."""
