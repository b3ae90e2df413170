import { createRequire } from "node:module";
import { defineConfig } from "hardhat/config";
import { compilerSettings, compilerVersion } from "./contracts/compiler.js";

const require = createRequire(import.meta.url);
const runs = (name, usual) => Number(process.env[name] ?? usual);

export default defineConfig({
  paths: { sources: "./contracts", tests: { solidity: "./contracts/test" } },
  solidity: {
    compilers: [{ version: compilerVersion, path: require.resolve("solc/soljson.js"), settings: compilerSettings }],
  },
  test: {
    solidity: {
      fuzz: { runs: runs("SOTER_FUZZ_RUNS", 128), seed: "0x50fe" },
      invariant: { runs: runs("SOTER_INVARIANT_RUNS", 32), depth: 48, failOnRevert: false },
    },
  },
});
