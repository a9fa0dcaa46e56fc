"""AWS services, reduced to what the functions do with them."""
