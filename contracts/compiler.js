// The one place that says how the contracts are compiled: the tests and the committed artifacts must agree.
export const compilerVersion = "0.8.37";
export const compilerSettings = {
  optimizer: { enabled: true, runs: 200 },
  evmVersion: "cancun",
  viaIR: true,
  metadata: { bytecodeHash: "none", appendCBOR: false },
};
// Suites deploy what was compiled as above; their own code is worth no optimiser, which takes most of a compilation.
export const suiteSettings = {
  ...compilerSettings,
  optimizer: { enabled: false, details: { yul: true, yulDetails: { stackAllocation: true, optimizerSteps: "u" } } },
};
