# Sourced by bash before the scripts of every phase, with set -eu: give each variable
# that scripts read a value here. What disk-image-create itself reads, such as FS_TYPE
# or DIB_IMAGE_SIZE, is too late here.
export DIB_VARIABLE_GREETING=${DIB_VARIABLE_GREETING:-hello}
