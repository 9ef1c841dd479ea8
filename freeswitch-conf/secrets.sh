#!/bin/sh
# The two questions that vars.xml and the directory ask about secrets. Both secrets come from the environment only.
#
#   secrets.sh phone-password 1001     the password of phone 1001, derived from CCW_PHONE_SECRET
#   secrets.sh event-socket-module     mod_event_socket if CCW_ESL_PASSWORD is fit for use, else a name that says what is wrong
#
# A phone's password is the first 32 hex digits of SHA-256 over "<user>:<CCW_PHONE_SECRET>" and a newline: one secret a node, yet no
# phone knows another phone's password. Without a secret nothing is printed, the password stays empty, and the phone cannot register.
# Passwords are put into XML as they are, hence the narrow alphabet.
set -u
fit='^[A-Za-z0-9._-]{12,}$'

sum() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

case "${1-}" in
  phone-password)
    printf '%s' "${CCW_PHONE_SECRET-}" | grep -Eq "$fit" || { echo "CCW_PHONE_SECRET: 12 or more of A-Z a-z 0-9 . _ -" >&2; exit 1; }
    printf '%s:%s\n' "${2:?user}" "$CCW_PHONE_SECRET" | sum | cut -c1-32 ;;
  event-socket-module)
    if [ -z "${CCW_ESL_PASSWORD-}" ]; then echo no_event_socket_because_CCW_ESL_PASSWORD_is_not_set
    elif printf '%s' "$CCW_ESL_PASSWORD" | grep -Eq "$fit"; then echo mod_event_socket
    else echo no_event_socket_because_CCW_ESL_PASSWORD_is_short_or_has_odd_characters; fi ;;
  *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
