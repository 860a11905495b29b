#!version:1.0.0.1
## Made by kazoo-provisioner for a Yealink AX83H. Asked for by firmware V81 and later.
include:config <y000000000180.cfg>
include:config <001565aabbcc.cfg>
overwrite_mode = 1
