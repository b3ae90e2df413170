// Prints, as JSON, the syntax trees of contracts/ and the ABI and storage layout of every contract that is deployed.
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { compilerSettings } from "../../contracts/compiler.js";

const solc = createRequire(import.meta.url)("solc");
const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const text = (path) => readFileSync(join(root, path.startsWith("@") ? "node_modules" : "", path), "utf8");
const names = readdirSync(join(root, "contracts")).filter((name) => name.endsWith(".sol")).sort();
const input = {
  language: "Solidity",
  sources: Object.fromEntries(names.map((name) => [`contracts/${name}`, { content: text(`contracts/${name}`) }])),
  settings: { ...compilerSettings, outputSelection: { "*": { "": ["ast"], "*": ["abi", "storageLayout"] } } },
};
const result = JSON.parse(solc.compile(JSON.stringify(input), { import: (path) => ({ contents: text(path) }) }));
const errors = (result.errors ?? []).filter((one) => one.severity === "error");
if (errors.length) throw new Error(errors.map((one) => one.formattedMessage).join("\n"));
const own = Object.entries(result.sources).filter(([path]) => path.startsWith("contracts/"));
const deployed = names.map((file) => [file.replace(".sol", ""), `contracts/${file}`]);
process.stdout.write(
  JSON.stringify({
    trees: Object.fromEntries(own.map(([path, source]) => [path, source.ast])),
    contracts: Object.fromEntries(deployed.map(([name, path]) => [name, result.contracts[path][name]])),
  }),
);
