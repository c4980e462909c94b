"""The commands that try an agent out: `call`, `eval`, `load` and `probe`."""
