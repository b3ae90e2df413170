// Prints ABI and bytecode of contracts/test/<name>.sol as JSON, compiled as the shipped contracts are.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { compilerSettings } from "../../contracts/compiler.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const solc = createRequire(import.meta.url)("solc");
const name = process.argv[2];
const source = `contracts/test/${name}.sol`;
const input = {
  language: "Solidity",
  sources: { [source]: { content: readFileSync(join(root, source), "utf8") } },
  settings: { ...compilerSettings, outputSelection: { [source]: { [name]: ["abi", "evm.bytecode.object"] } } },
};
const placeOf = (path) => (path.startsWith("@") ? join(root, "node_modules", path) : join(root, path));
const findImport = (path) => ({ contents: readFileSync(placeOf(path), "utf8") });
const result = JSON.parse(solc.compile(JSON.stringify(input), { import: findImport }));
const errors = (result.errors ?? []).filter((one) => one.severity === "error");
if (errors.length) throw new Error(errors.map((one) => one.formattedMessage).join("\n"));
const { abi, evm } = result.contracts[source][name];
console.log(JSON.stringify({ abi, bytecode: `0x${evm.bytecode.object}` }));
