"""What `fastlm.train` decides: what is held out, which models are trained, how large they are and how long."""
