"""What `respool doctor` looks at: `finding` is one answer; `machine`, `storage` and `hubs` ask the surroundings, and
`script` reads a training script without running it.
"""
