// What of the contract the server of this workspace does not have yet. The tests of these features run against the
// official server only; whoever builds a feature removes its line here, and its tests run against both.
const NOT_BUILT = new Set([
]);

const isOfficial = (process.env.SERVER_UNDER_TEST ?? "").endsWith(".mjs");

/** Whether the tests of a feature are defined for the server under test. */
export function has(feature) {
  return isOfficial || !NOT_BUILT.has(feature);
}
