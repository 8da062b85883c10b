"""All that an application can see, against the reference model."""
