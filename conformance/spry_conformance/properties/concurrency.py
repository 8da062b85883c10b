"""Several writers at once: each append is whole, and one after another."""
