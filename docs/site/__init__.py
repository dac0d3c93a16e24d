"""The documentation as a site of its own: `python -m docs.site` builds it, without a database and without a network."""
