"""Routes of the API, one file per kind of object."""
