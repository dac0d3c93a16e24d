"""Django's PostgreSQL backend that tells the database whose rows a transaction may touch (forge.db.scope)."""
