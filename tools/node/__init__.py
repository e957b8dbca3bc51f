"""What people do with nodes from here: check configurations, send commands, read captures."""
