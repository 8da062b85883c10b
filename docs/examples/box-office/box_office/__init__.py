"""A box office: shows with seats, and customers who order tickets."""
