"""What the user wrote, checked, and what he is told when it is wrong. Standard library and jsonschema only."""
