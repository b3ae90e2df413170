#!/usr/bin/env bash
# Pin every dependency with hashes: one file an extra, all agreeing with dev.txt, none naming a registry.
# Brownie pins packages that nothing else can live with: its file stands by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
compile=(uv pip compile --quiet pyproject.toml --python-version 3.11 --generate-hashes
         --no-emit-index-url --no-annotate --no-header)
"${compile[@]}" --all-extras -o requirements/dev.txt
for extra in coordinator agent deploy demo docs sources; do
  "${compile[@]}" --extra "$extra" -c requirements/dev.txt -o "requirements/$extra.txt"
done
"${compile[@]}" --extra agent --extra mpc -c requirements/dev.txt -o requirements/mpc.txt
"${compile[@]}" -c requirements/dev.txt -o requirements/customer.txt
uv pip compile --quiet requirements/brownie.in --python-version 3.11 --generate-hashes --no-emit-index-url \
  --no-annotate --no-header -o requirements/brownie.txt
for tool in halmos==0.3.3 slither-analyzer==0.11.6; do
  "${compile[@]/pyproject.toml/-}" -o "requirements/$(cut -d= -f1 <<<"${tool/-analyzer/}").txt" <<<"$tool"
done
