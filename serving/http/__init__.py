"""The wire: routes, what they take and give, keys, errors, metrics, and the process that listens."""
