"""One module per command: `configure(parser)` describes it, `run(args, screen)` returns the exit code."""
