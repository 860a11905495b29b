#!version:1.0.0.1
## Made by kazoo-provisioner for a Yealink SIP-T73U. Asked for by firmware V81 and later.
include:config <y000000000186.cfg>
include:config <001565aabbcc.cfg>
overwrite_mode = 1
