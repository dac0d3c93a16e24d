"""Whether machines and the places where they stand are as safe as they are asked for."""
