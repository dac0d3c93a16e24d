"""WorkSpaces Applications, in the SDK `appstream`: fleets of streaming instances, stacks, the users of the pool."""
