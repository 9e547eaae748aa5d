"""The names of other tools' Python modules, over models of fastlm: programs written for them run unchanged."""
