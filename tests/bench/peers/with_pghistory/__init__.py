"""django-pghistory: a trigger copies the changed row into an event table and the context into another."""
