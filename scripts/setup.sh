# Sourced by the other scripts: everything they need, on a machine that has only Python and git. It makes a virtual environment in the
# project, and installs into it again only when setup.cfg or pyproject.toml has changed. Afterwards $venv/bin is first in PATH.

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$project/.venv
cd "$project" || exit 1

say() { printf '%s\n' "$*" >&2; }

fits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
has_venv() { "$1" -c 'import venv, ensurepip' 2>/dev/null; }

find_python() {
  local name
  for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$name" >/dev/null && fits "$name"; then command -v "$name"; return; fi
  done
  return 1
}

has_chromium() { [ -n "${CHROMIUM:-}" ] || command -v chromium >/dev/null || command -v chromium-browser >/dev/null; }
has_firefox() { [ -n "${FIREFOX:-}" ] || command -v firefox-esr >/dev/null || command -v firefox >/dev/null; }

debian_packages() { # the packages that are named, if this is root on Debian; else a line that says what is missing
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $*"
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null ||
      { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null; }
  else
    say "Missing: $*. On Debian: sudo apt-get install $*"
    return 1
  fi
}

make_venv() {
  local python
  command -v git >/dev/null || debian_packages git || return 1
  if ! python=$(find_python); then
    debian_packages python3 python3-venv || return 1
    python=$(find_python) || { say "Python 3.11 or later is needed; PYTHON=/path/to/python names one."; return 1; }
  fi
  if ! has_venv "$python"; then
    debian_packages python3-venv || return 1
    has_venv "$python" || { say "$python has no venv module."; return 1; }
  fi
  "$python" -m venv --clear "$venv"
}

wanted() { # what the environment was made from
  "$venv/bin/python" - setup.cfg pyproject.toml <<'PYTHON'
import hashlib, pathlib, sys
print(sys.version.split()[0], *(hashlib.sha256(pathlib.Path(name).read_bytes()).hexdigest() for name in sys.argv[1:]))
PYTHON
}

install_all() {
  [ -x "$venv/bin/python" ] && "$venv/bin/python" -c 'import pip' 2>/dev/null || make_venv || return 1
  local stamp=$venv/.made-from
  if [ "$(cat "$stamp" 2>/dev/null)" != "$(wanted)" ]; then
    say "installing into .venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[proof,dev]' || return 1
    wanted >"$stamp"
  fi
}

# One set-up at a time; the second finds it done.
if command -v flock >/dev/null; then
  exec 9<setup.cfg
  flock 9
  install_all || exit 1
  exec 9<&-
else
  install_all || exit 1
fi
PATH=$venv/bin:$PATH
export PATH
