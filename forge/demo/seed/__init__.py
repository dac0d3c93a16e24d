"""The demo's believable organization, made by the same services that people use, with business time passed in."""
