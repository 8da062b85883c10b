"""What goes in comes out, equal in value and type."""
