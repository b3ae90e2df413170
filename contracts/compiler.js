// The one place that says how the contracts are compiled: the tests and the committed artifacts must agree.
export const compilerVersion = "0.8.37";
export const compilerSettings = {
  optimizer: { enabled: true, runs: 200 },
  evmVersion: "cancun",
  viaIR: true,
  metadata: { bytecodeHash: "none", appendCBOR: false },
};
