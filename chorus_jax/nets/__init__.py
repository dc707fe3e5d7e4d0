"""Networks and layers that the families share."""
