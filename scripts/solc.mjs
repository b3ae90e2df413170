#!/usr/bin/env node
// The pinned WebAssembly compiler, for tools that call a native solc: `--version` and `--standard-json [FILE]`.
// Sources are read from the working directory, from --base-path and from --include-path, as the native one does.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { compilerVersion } from "../contracts/compiler.js";

const COMMIT = "f401782d";

function optionValues(name) {
  return process.argv.flatMap((word, at) => (word === name ? [process.argv[at + 1]] : []));
}

function sourceFrom(path, folders) {
  const found = folders.map((folder) => resolve(folder, path)).find((file) => existsSync(file));
  return found === undefined ? { error: `${path} not found` } : { contents: readFileSync(found, "utf8") };
}

function inlined(input, folders) {
  for (const [path, source] of Object.entries(input.sources)) {
    if (source.content !== undefined) continue;
    const found = sourceFrom(source.urls?.[0] ?? path, folders);
    if (found.error) throw new Error(found.error);
    input.sources[path] = { content: found.contents };
  }
  return input;
}

function standardJson() {
  const solc = createRequire(import.meta.url)("solc");
  const at = process.argv.indexOf("--standard-json") + 1;
  const file = process.argv[at]?.startsWith("--") ? undefined : process.argv[at];
  const folders = [process.cwd(), ...optionValues("--base-path"), ...optionValues("--include-path")];
  const input = inlined(JSON.parse(readFileSync(file ?? 0, "utf8")), folders);
  return solc.compile(JSON.stringify(input), { import: (path) => sourceFrom(path, folders) });
}

if (process.argv.includes("--version")) {
  console.log("solc, the solidity compiler commandline interface");
  console.log(`Version: ${compilerVersion}+commit.${COMMIT}.Linux.g++`);
} else if (process.argv.includes("--standard-json")) {
  process.stdout.write(standardJson());
} else {
  console.error("only --version and --standard-json are answered");
  process.exitCode = 1;
}
