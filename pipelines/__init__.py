"""Who runs it: XML chains, the runner, hosts and the command line."""
