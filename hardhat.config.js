import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { defineConfig } from "hardhat/config";
import { compilerSettings, compilerVersion, suiteSettings } from "./contracts/compiler.js";

const require = createRequire(import.meta.url);
const compiler = { version: compilerVersion, path: require.resolve("solc/soljson.js") };
const deployed = readdirSync(new URL("./contracts", import.meta.url)).filter((name) => name.endsWith(".sol"));
const runs = (name, usual) => Number(process.env[name] ?? usual);

export default defineConfig({
  paths: { sources: "./contracts", tests: { solidity: "./contracts/test" } },
  solidity: {
    // Hardhat compiles all files under one entry at once: the suites have to be the rule, not the exception.
    compilers: [{ ...compiler, settings: suiteSettings }],
    overrides: Object.fromEntries(
      deployed.map((name) => [`contracts/${name}`, { ...compiler, settings: compilerSettings }]),
    ),
  },
  test: {
    solidity: {
      fuzz: { runs: runs("SOTER_FUZZ_RUNS", 128), seed: "0x50fe" },
      invariant: { runs: runs("SOTER_INVARIANT_RUNS", 32), depth: 48, failOnRevert: false },
    },
  },
});
