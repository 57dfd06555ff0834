# What the scripts of the examples share: a node of their own, on a free port, in a folder that goes when they end. To be
# sourced, with the program's path as the argument [default: target/release/weir].

program=${1:-$(dirname "${BASH_SOURCE[0]}")/../target/release/weir}
[ -x "$program" ] || { echo "no program at $program: run 'cargo build --release' first, or name another" >&2; exit 1; }
program=$(realpath "$program")
folder=$(mktemp -d)
node=

stop_node() {
  [ -z "$node" ] || { kill -TERM "$node" 2>/dev/null && wait "$node" || true; }
  rm -rf "$folder"
}
trap stop_node EXIT
trap 'exit 130' INT TERM

# Starts the node, and makes `weir` talk to it.
start_node() {
  mkfifo "$folder/said"
  "$program" node --listen 127.0.0.1:0 --data "$folder/data" >"$folder/said" 2>"$folder/log" &
  node=$!
  local ready address
  exec 3<"$folder/said"
  read -r ready address <&3 || fail "the node ended: $(tail -n 1 "$folder/log")"
  [ "$ready" = ready ] || fail "the node said: $ready $address"
  export WEIR_BOOTSTRAP=$address WEIR_CERTS=$folder/data/certs
}

weir() { "$program" "$@"; }

say() { printf '\n== %s\n' "$*"; }

fail() { echo "NOT AS TOLD: $*" >&2; exit 1; }

# Everything that a topic holds, or one partition of it: stored TOPIC [PARTITION]
stored() { weir consume "$1" --from-beginning --until-end ${2+--partition "$2"}; }
