import { createRequire } from "node:module";
import { defineConfig } from "hardhat/config";
import { compilerSettings, compilerVersion } from "./contracts/compiler.js";

const require = createRequire(import.meta.url);

export default defineConfig({
  paths: { sources: "./contracts", tests: { solidity: "./contracts/test" } },
  solidity: {
    compilers: [{ version: compilerVersion, path: require.resolve("solc/soljson.js"), settings: compilerSettings }],
  },
  test: {
    solidity: {
      fuzz: { runs: 128, seed: "0x50fe" },
      invariant: { runs: 32, depth: 48, failOnRevert: false },
    },
  },
});
