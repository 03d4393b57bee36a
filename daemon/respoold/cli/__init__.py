"""What people type. One module per command under `commands`; around them, one noun a file.

`main` chooses the command and turns every expected failure into two sentences and an exit code; `screen` and
`words` say things; `hub` and `daemon_link` are the doors to the two servers; `places`, `credentials` and
`runs` know where things are and what they are called.
"""
