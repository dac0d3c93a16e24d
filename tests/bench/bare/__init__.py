"""The bare sides: the least that does the same work. Each module says exactly what it is and why that is fair."""
