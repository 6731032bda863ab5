"""The networks, a readable file per family of recipes, and how they are kept in a file and put on a device."""
