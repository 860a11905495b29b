#!version:1.0.0.1
## Made by kazoo-provisioner for a Flyingvoice FIP13G.
include:config "001565aabbcc.cfg"
