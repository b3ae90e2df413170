// Compiles contracts/ with the pinned compiler and writes soterone/chain/abi/<Contract>.json, the same bytes each time.
// With --check it writes nothing and fails when a committed artifact differs.
import { mkdirSync, readFileSync, readdirSync, writeFileSync, existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { compilerSettings } from "../contracts/compiler.js";

const require = createRequire(import.meta.url);
const solc = require("solc");
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const contracts = join(root, "contracts");
const output = join(root, "soterone", "chain", "abi");

function deployable() {
  return readdirSync(contracts).filter((name) => name.endsWith(".sol")).sort();
}

function readImport(path) {
  const file = path.startsWith("@") ? join(root, "node_modules", path) : join(root, path);
  return existsSync(file) ? { contents: readFileSync(file, "utf8") } : { error: `${path} not found` };
}

function compile(names) {
  const input = {
    language: "Solidity",
    sources: Object.fromEntries(
      names.map((name) => [`contracts/${name}`, { content: readFileSync(join(contracts, name), "utf8") }]),
    ),
    settings: { ...compilerSettings, outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } } },
  };
  const result = JSON.parse(solc.compile(JSON.stringify(input), { import: readImport }));
  const problems = (result.errors ?? []).filter((one) => one.severity !== "info");
  const text = problems.map((one) => one.formattedMessage).join("\n");
  if (problems.some((one) => one.severity === "error")) throw new Error(text);
  if (text) console.error(text);
  return result.contracts;
}

function artifact(name, compiled) {
  const text = { contract: name, compiler: solc.version(), abi: compiled.abi, bytecode: `0x${compiled.evm.bytecode.object}` };
  return `${JSON.stringify(text, null, 1)}\n`;
}

function main() {
  const check = process.argv.includes("--check");
  const names = deployable();
  const compiled = compile(names);
  mkdirSync(output, { recursive: true });
  const stale = [];
  for (const file of names) {
    const name = file.replace(".sol", "");
    const path = join(output, `${name}.json`);
    const text = artifact(name, compiled[`contracts/${file}`][name]);
    if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
    stale.push(relative(root, path));
    if (!check) writeFileSync(path, text);
  }
  if (check && stale.length) throw new Error(`out of date, run "npm run compile": ${stale.join(", ")}`);
  console.log(stale.length ? `wrote ${stale.join(", ")}` : `${names.length} artifacts are up to date`);
}

try {
  main();
} catch (problem) {
  console.error(problem.message);
  process.exitCode = 1;
}
