#!version:1.0.0.1
## Made by kazoo-provisioner for a Yealink SIP-T74U. Asked for by firmware V81 and later.
include:config <y000000000187.cfg>
include:config <001565aabbcc.cfg>
overwrite_mode = 1
