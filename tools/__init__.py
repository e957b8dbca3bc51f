"""Host tools: build, twin, monitor and the `cicada` command line."""
