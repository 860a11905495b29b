#!version:1.0.0.1
## Made by kazoo-provisioner for a Yealink CP920. Asked for by firmware V81 and later.
include:config <y000000000078.cfg>
include:config <001565aabbcc.cfg>
overwrite_mode = 1
